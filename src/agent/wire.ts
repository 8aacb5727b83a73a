// A batch as it is sent: the format of the agent's protocol, version 1, little-endian.

const MAGIC = 0x4157535a; // "ZSWA"
const VERSION = 1;
export const HEADER_BYTES = 48;
export const RECORD_BYTES = 20;
/** Of a whole batch, as the server takes it. */
export const BATCH_BYTES_MAX = 256 * 1024;
/** Of a path, as the server takes it. */
export const PATH_BYTES_MAX = 4095;
/** What fits into the fields: an hour and some of error, half of that before the first record. */
const ERROR_MAX = 0xffffffff;
const TIME_MIN = -0x80000000;
/** The length of a name that says that a cgroup is gone. */
const GONE = 0xffff;

export const FLAG = {
  /** A resync begins: all that was said before is void. */
  begin: 1,
  end: 2,
  /** The records say what was held at their time, not what began then. */
  seen: 4,
} as const;

export interface Name {
  readonly id: number;
  /** Undefined: the cgroup is gone. */
  readonly path: string | undefined;
}

/** Records in columns. */
export interface Records {
  readonly count: number;
  readonly slot: Uint32Array;
  readonly slots: Uint32Array;
  /** 0: the slots are free. */
  readonly cgroup: Float64Array;
  /** In µs of our clock. */
  readonly time: Float64Array;
}

interface Header {
  readonly flags: number;
  readonly session: bigint;
  readonly sequence: number;
  /** What is added to the records' times for the server's clock, in µs, and how wrong that may be. */
  readonly clockOffset: number;
  readonly error: number;
  readonly lost: number;
}

export function nameBytes({ path }: Name): number {
  return 10 + (path === undefined ? 0 : Buffer.byteLength(path));
}

export function encodeBatch(header: Header, names: readonly Name[], records: Records): Buffer {
  const namesBytes = names.reduce((sum, name) => sum + nameBytes(name), 0);
  const bytes = Buffer.alloc(HEADER_BYTES + namesBytes + records.count * RECORD_BYTES);
  const error = Math.ceil(header.error);
  // What does not fit into the field is taken from the times, because the server asks for a time minus its error, and has to have the
  // bound. Of what was seen it asks for a time plus its error.
  const excess = Math.max(0, error - ERROR_MAX);
  const isSeen = (header.flags & FLAG.seen) !== 0 && Number.isFinite(excess);
  const offset = header.clockOffset + (isSeen ? excess : -excess);
  const time0 = Math.max(0, Math.round((records.count === 0 ? 0 : records.time[0]) + offset));
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt16LE(VERSION, 4);
  bytes.writeUInt16LE(header.flags, 6);
  bytes.writeBigUInt64LE(header.session, 8);
  bytes.writeBigUInt64LE(BigInt(header.sequence), 16);
  bytes.writeBigUInt64LE(BigInt(time0), 24);
  bytes.writeUInt32LE(Math.min(error, ERROR_MAX), 32);
  bytes.writeUInt32LE(Math.min(header.lost, 0xffffffff), 36);
  bytes.writeUInt32LE(namesBytes, 40);
  bytes.writeUInt32LE(records.count, 44);
  let at = HEADER_BYTES;
  for (const { id, path } of names) {
    writeWide(bytes, id, at);
    bytes.writeUInt16LE(path === undefined ? GONE : Buffer.byteLength(path), at + 8);
    at += 10;
    if (path !== undefined) at += bytes.write(path, at, 'utf8');
  }
  for (let i = 0; i < records.count; i++, at += RECORD_BYTES) {
    bytes.writeUInt32LE(records.slot[i], at);
    bytes.writeUInt32LE(records.slots[i], at + 4);
    writeWide(bytes, records.cgroup[i], at + 8);
    bytes.writeInt32LE(Math.max(TIME_MIN, Math.round(records.time[i] + offset - time0)), at + 16);
  }
  return bytes;
}

function writeWide(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, at);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}
