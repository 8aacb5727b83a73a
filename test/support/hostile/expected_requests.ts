/**
 * What the specification lets a server answer to the requests of a client, read from the bytes that the client has sent, and
 * what its READs have to bring if requests take effect in the order in which they come.
 */
import * as wire from 'node-nbd-server';
import type { ExpectedHandshake } from './expected_options.ts';

const MAX_DF = 128 * 1024;
const BLOCK = 4096;

export interface ExpectedRequest {
  readonly type: number;
  readonly flags: number;
  readonly cookie: string;
  readonly offset: number;
  readonly length: number;
  /** It has to fail with one of these, or must not fail if there are none. */
  readonly errors: readonly number[];
  /** Of a READ: what it brings; null if nobody can tell. */
  readonly content: Buffer | null;
}

export interface ExpectedRequests {
  readonly requests: readonly ExpectedRequest[];
  /** What follows: more requests, the end that was asked for, or the end because of a broken stream. */
  readonly after: 'more' | 'closed' | 'dropped';
  /** Whether the last byte ends a request, or the goodbye. */
  readonly whole: boolean;
}

/** All that is wrong with a request; a server may tell any of it. */
function wrongs(h: ExpectedHandshake, type: number, flags: number, offset: bigint, length: number): number[] {
  const info = h.info!;
  const has = (flag: number): boolean => (info.flags & flag) !== 0;
  const changes = type === wire.NBD_CMD_WRITE || type === wire.NBD_CMD_WRITE_ZEROES;
  const errors: number[] = [];
  const wrong = (is: boolean, error: number = wire.NBD_EINVAL): void => {
    if (is) errors.push(error);
  };
  const offered = [
    true,
    true,
    true,
    has(wire.NBD_FLAG_SEND_FLUSH),
    has(wire.NBD_FLAG_SEND_TRIM),
    has(wire.NBD_FLAG_SEND_CACHE),
    has(wire.NBD_FLAG_SEND_WRITE_ZEROES),
    h.context,
  ][type];
  wrong(offered !== true);
  wrong(has(wire.NBD_FLAG_READ_ONLY) && (changes || type === wire.NBD_CMD_TRIM), wire.NBD_EPERM);
  const fast = has(wire.NBD_FLAG_SEND_FAST_ZERO) ? wire.NBD_CMD_FLAG_FAST_ZERO : 0;
  const own: readonly number[] = [
    h.structured ? wire.NBD_CMD_FLAG_DF : 0,
    0,
    0,
    0,
    0,
    0,
    wire.NBD_CMD_FLAG_NO_HOLE | fast,
    wire.NBD_CMD_FLAG_REQ_ONE,
  ];
  wrong((flags & ~((own[type] ?? 0) | (has(wire.NBD_FLAG_SEND_FUA) ? wire.NBD_CMD_FLAG_FUA : 0))) !== 0);
  if (type === wire.NBD_CMD_FLUSH) {
    wrong(offset !== 0n || length !== 0);
    return errors;
  }
  wrong(type === wire.NBD_CMD_BLOCK_STATUS && length === 0);
  const payload = type === wire.NBD_CMD_READ || type === wire.NBD_CMD_WRITE;
  wrong(payload && length > Math.min(info.maxBlock, wire.NBD_MAX_PAYLOAD));
  wrong(offset + BigInt(length) > BigInt(info.size), changes ? wire.NBD_ENOSPC : wire.NBD_EINVAL);
  wrong(offset % BigInt(info.minBlock) !== 0n || length % info.minBlock !== 0);
  wrong(type === wire.NBD_CMD_READ && (flags & wire.NBD_CMD_FLAG_DF) !== 0 && length > MAX_DF, wire.NBD_EOVERFLOW);
  return errors;
}

/** Does what a request asks for, in `disk`; a TRIM clears the blocks that it covers. */
function apply(disk: Buffer, type: number, offset: number, length: number, payload: Buffer): void {
  const end = offset + length;
  if (type === wire.NBD_CMD_WRITE) payload.copy(disk, offset);
  if (type === wire.NBD_CMD_WRITE_ZEROES) disk.fill(0, offset, end);
  if (type !== wire.NBD_CMD_TRIM) return;
  const first = Math.ceil(offset / BLOCK) * BLOCK;
  disk.fill(0, first, Math.max(first, Math.floor(end / BLOCK) * BLOCK));
}

/** `disk` is what the export holds, null if that is unknown; it is changed as the export has to be. */
export function expectRequests(sent: Buffer, handshake: ExpectedHandshake, disk: Buffer | null): ExpectedRequests {
  const requests: ExpectedRequest[] = [];
  let at = handshake.at;
  while (sent.length - at >= wire.NBD_REQUEST_BYTES) {
    if (sent.readUInt32BE(at) !== wire.NBD_REQUEST_MAGIC) return { requests, after: 'dropped', whole: false };
    const [flags, type, length] = [sent.readUInt16BE(at + 4), sent.readUInt16BE(at + 6), sent.readUInt32BE(at + 24)];
    const cookie = sent.toString('hex', at + 8, at + 16);
    const far = sent.readBigUInt64BE(at + 16);
    at += wire.NBD_REQUEST_BYTES;
    if (type === wire.NBD_CMD_DISC) return { requests, after: 'closed', whole: at === sent.length };
    const payload = type === wire.NBD_CMD_WRITE ? length : 0;
    if (sent.length - at < payload) return { requests, after: 'more', whole: false };
    const errors = wrongs(handshake, type, flags, far, length);
    const offset = Number(far);
    if (errors.length === 0 && disk !== null) apply(disk, type, offset, length, sent.subarray(at, at + payload));
    const known = errors.length === 0 && type === wire.NBD_CMD_READ && disk !== null;
    const content = known ? Buffer.from(disk.subarray(offset, offset + length)) : null;
    requests.push({ type, flags, cookie, offset, length, errors, content });
    at += payload;
  }
  return { requests, after: 'more', whole: at === sent.length };
}
