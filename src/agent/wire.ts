// A batch as it is sent: the format of the agent's protocol, version 1, little-endian.

const MAGIC = 0x4157535a; // "ZSWA"
const VERSION = 1;
export const HEADER_BYTES = 48;
export const RECORD_BYTES = 20;
/** Of a whole batch, as the server takes it. */
export const BATCH_BYTES_MAX = 256 * 1024;
/** Of a path, as the server takes it. */
export const PATH_BYTES_MAX = 4095;
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
  const first = records.count === 0 ? 0 : records.time[0];
  const time0 = Math.round(first + header.clockOffset);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt16LE(VERSION, 4);
  bytes.writeUInt16LE(header.flags, 6);
  bytes.writeBigUInt64LE(header.session, 8);
  bytes.writeBigUInt64LE(BigInt(header.sequence), 16);
  bytes.writeBigUInt64LE(BigInt(Math.max(0, time0)), 24);
  bytes.writeUInt32LE(clamp(Math.ceil(header.error)), 32);
  bytes.writeUInt32LE(clamp(header.lost), 36);
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
    bytes.writeInt32LE(Math.round(records.time[i] - first), at + 16);
  }
  return bytes;
}

function clamp(value: number): number {
  return Math.min(value, 0xffffffff);
}

function writeWide(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, at);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}
