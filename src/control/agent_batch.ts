/**
 * A batch of an agent, read and checked as agent.md says. Everything that can be wrong with one is found here, before anything
 * of it has an effect.
 */
import { RECORD } from '../zswap/reports.ts';

export const BATCH_BYTES_MAX = 256 * 1024;
/** Of all records of a batch together: about a second of the shrinker's thread, in turns. */
export const BATCH_SLOTS_MAX = 2 ** 20;
/** As long as any path of a kernel, without the zero at its end. */
export const PATH_BYTES_MAX = 4095;

const MAGIC = 0x4157_535a;
const VERSION = 1;
const HEADER_BYTES = 48;
const RECORD_BYTES = 20;
const GONE = 0xffff;
const FLAG = { RESYNC_BEGINS: 1, RESYNC_ENDS: 2, SEEN: 4 } as const;
const FLAGS = FLAG.RESYNC_BEGINS | FLAG.RESYNC_ENDS | FLAG.SEEN;

/** `path`: null for a cgroup that is gone. */
interface Name {
  readonly id: bigint;
  readonly path: string | null;
}

export interface Batch {
  readonly resyncBegins: boolean;
  readonly resyncEnds: boolean;
  /** 16 hexadecimal digits. */
  readonly session: string;
  /** One that no number is for is larger than any that is expected. */
  readonly sequence: number;
  readonly error: number;
  readonly lost: number;
  readonly names: readonly Name[];
  /** By record; `ids`: 0 where the slots are free. */
  readonly kinds: Uint8Array;
  readonly slots: Uint32Array;
  readonly counts: Uint32Array;
  readonly ids: BigUint64Array;
  readonly times: Float64Array;
}

/** A batch that is none: why, and what is allowed. */
export class BatchError extends Error {}

/** `slots`: of the export. */
export function readBatch(body: Buffer, slots: number): Batch {
  if (body.length < HEADER_BYTES) throw new BatchError(`${body.length} bytes, allowed: a header of ${HEADER_BYTES}`);
  const [magic, version, flags] = [body.readUInt32LE(0), body.readUInt16LE(4), body.readUInt16LE(6)];
  if (magic !== MAGIC) throw new BatchError(`magic 0x${magic.toString(16)}, allowed: 0x${MAGIC.toString(16)}`);
  if (version !== VERSION) throw new BatchError(`version ${version}, allowed: ${VERSION}`);
  if ((flags & ~FLAGS) !== 0) throw new BatchError(`flags 0x${flags.toString(16)}, allowed: bits of ${FLAGS}`);
  const session = body.readBigUInt64LE(8);
  if (session === 0n) throw new BatchError('session 0, allowed: any other');
  const [namesBytes, count] = [body.readUInt32LE(40), body.readUInt32LE(44)];
  const bytes = HEADER_BYTES + namesBytes + count * RECORD_BYTES;
  if (bytes !== body.length)
    throw new BatchError(`${body.length} bytes, allowed: the ${bytes} that the header tells of`);
  const recordsAt = HEADER_BYTES + namesBytes;
  return {
    resyncBegins: (flags & FLAG.RESYNC_BEGINS) !== 0,
    resyncEnds: (flags & FLAG.RESYNC_ENDS) !== 0,
    session: session.toString(16).padStart(16, '0'),
    sequence: Number(body.readBigUInt64LE(16)),
    error: body.readUInt32LE(32),
    lost: body.readUInt32LE(36),
    names: readNames(body.subarray(HEADER_BYTES, recordsAt)),
    ...readRecords(body, recordsAt, count, (flags & FLAG.SEEN) !== 0, slots),
  };
}

function readNames(bytes: Buffer): Name[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const names: Name[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 10 > bytes.length) throw new BatchError(`the names end within one, at byte ${at} of them`);
    const [id, length] = [bytes.readBigUInt64LE(at), bytes.readUInt16LE(at + 8)];
    if (id === 0n) throw new BatchError('a cgroup has id 0, allowed: any other');
    at += 10;
    if (length === GONE) {
      names.push({ id, path: null });
      continue;
    }
    const end = at + length;
    if (length > PATH_BYTES_MAX || end > bytes.length) {
      throw new BatchError(`a path of ${length} bytes, allowed: up to ${PATH_BYTES_MAX}, and to the end of the names`);
    }
    try {
      names.push({ id, path: decoder.decode(bytes.subarray(at, end)) });
    } catch (error) {
      throw new BatchError('a path is no UTF-8', { cause: error });
    }
    at = end;
  }
  return names;
}

function readRecords(
  body: Buffer,
  at: number,
  count: number,
  seen: boolean,
  pages: number,
): Pick<Batch, 'kinds' | 'slots' | 'counts' | 'ids' | 'times'> {
  const time0 = Number(body.readBigUInt64LE(24));
  const kinds = new Uint8Array(count);
  const slots = new Uint32Array(count);
  const counts = new Uint32Array(count);
  const ids = new BigUint64Array(count);
  const times = new Float64Array(count);
  let all = 0;
  for (let i = 0; i < count; i++) {
    const record = at + i * RECORD_BYTES;
    slots[i] = body.readUInt32LE(record);
    counts[i] = body.readUInt32LE(record + 4);
    ids[i] = body.readBigUInt64LE(record + 8);
    times[i] = time0 + body.readInt32LE(record + 16);
    kinds[i] = ids[i] === 0n ? RECORD.FREE : seen ? RECORD.SEEN : RECORD.CHARGE;
    if (counts[i] === 0) throw new BatchError(`record ${i} has no slots, allowed: at least 1`);
    if (slots[i] + counts[i] > pages) {
      throw new BatchError(
        `record ${i} ends at slot ${slots[i] + counts[i]}, allowed: up to ${pages}, the end of the device`,
      );
    }
    all += counts[i];
  }
  if (all > BATCH_SLOTS_MAX) throw new BatchError(`${all} slots, allowed: ${BATCH_SLOTS_MAX}`);
  return { kinds, slots, counts, ids, times };
}
