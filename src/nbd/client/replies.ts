/**
 * The receiving half of the client: turns the server's byte stream into finished requests, simple and structured.
 *
 * Invariant: a chunk is accepted only if its magic, cookie, type, length and range fit the request that it answers; any
 * misfit is thrown as EPROTO and ends the connection. A read succeeds only if its chunks cover it exactly once.
 * Memory is reserved after a reply began, and never more than the request asked for (or MAX_SMALL_BODY, or 2^20 extents).
 */

import * as wire from '../wire.ts';
import { NbdError } from './error.ts';

/** Longest error chunk in bytes: two integers, a string of the longest legal length, an offset. */
const MAX_SMALL_BODY = 6 + wire.NBD_MAX_STRING + 8;
/** Most extents in one reply, as in the specification. */
const MAX_EXTENTS = 1 << 20;
/** Most content chunks in the reply to one read. */
const MAX_CHUNKS = 65536;
const TWO_32 = 0x1_0000_0000;

/** A run of bytes with one status; the last one of a reply may reach beyond the range that was asked for. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** NBD_STATE_HOLE and NBD_STATE_ZERO. */
  readonly flags: number;
}

/** What a request brought back. `data` is empty for all but a read, `extents` for all but a block status. */
export interface NbdReply {
  readonly data: Buffer;
  readonly extents: readonly Extent[];
}

/** A request on its way. */
export interface Pending {
  readonly type: number;
  readonly flags: number;
  readonly offset: number | bigint;
  readonly length: number;
  readonly payload: Uint8Array | null;
  readonly resolve: (reply: NbdReply) => void;
  readonly reject: (error: Error) => void;
  data: Buffer | null;
  /** Start and end of every content chunk, relative to the request. */
  covered: [number, number][];
  extents: Extent[];
  /** The first error chunk; the request fails with it once its last chunk is in. */
  error: NbdError | null;
}

interface ReplyParserOptions {
  /** The requests in flight by cookie; a finished one is removed before its promise settles. */
  readonly pending: Map<number, Pending>;
  readonly structured: boolean;
  readonly contextId: number | null;
}

const EMPTY = Buffer.alloc(0);

export class ReplyParser {
  readonly #o: ReplyParserOptions;
  readonly #head = Buffer.alloc(wire.NBD_STRUCTURED_REPLY_BYTES);
  #have = 0;
  /** Where the rest of the current reply goes; null while a header is expected. */
  #body: Buffer | null = null;
  #bodyHave = 0;
  /** Called when the body is complete. */
  #then: (body: Buffer) => void = () => {};
  #cookie = 0;
  #request: Pending | null = null;
  #done = false;

  constructor(o: ReplyParserOptions) {
    this.#o = o;
  }

  /** Takes the next bytes; throws NbdError if they break the protocol. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#body !== null) {
        const taken = Math.min(this.#body.length - this.#bodyHave, chunk.length - at);
        chunk.copy(this.#body, this.#bodyHave, at, at + taken);
        this.#bodyHave += taken;
        at += taken;
        this.#finishBody();
      } else {
        at = this.#header(chunk, at);
      }
    }
  }

  /** Collects a header and acts on it; parsed where it lies if it is not split. */
  #header(chunk: Buffer, at: number): number {
    if (this.#have === 0 && chunk.length - at >= wire.NBD_STRUCTURED_REPLY_BYTES) {
      const bytes = headerBytes(chunk.readUInt32BE(at));
      this.#reply(chunk, at);
      return at + bytes;
    }
    const need = this.#have < 4 ? 4 : headerBytes(this.#head.readUInt32BE(0));
    const taken = Math.min(need - this.#have, chunk.length - at);
    chunk.copy(this.#head, this.#have, at, at + taken);
    this.#have += taken;
    if (this.#have >= 4 && this.#have === headerBytes(this.#head.readUInt32BE(0))) {
      this.#have = 0;
      this.#reply(this.#head, 0);
    }
    return at + taken;
  }

  #reply(buf: Buffer, at: number): void {
    if (buf.readUInt32BE(at) === wire.NBD_SIMPLE_REPLY_MAGIC) {
      this.#lookUp(buf, at + 8);
      this.#simple(buf.readUInt32BE(at + 4));
    } else {
      this.#lookUp(buf, at + 8);
      this.#chunk(buf.readUInt16BE(at + 4), buf.readUInt16BE(at + 6), buf.readUInt32BE(at + 16));
    }
  }

  #lookUp(buf: Buffer, at: number): void {
    this.#cookie = readOffset(buf, at);
    const request = this.#o.pending.get(this.#cookie);
    if (request === undefined) throw NbdError.protocol('reply with an unknown cookie');
    this.#request = request;
  }

  #simple(error: number): void {
    const request = this.#request!;
    const content = request.type === wire.NBD_CMD_READ || request.type === wire.NBD_CMD_BLOCK_STATUS;
    if (request.type === wire.NBD_CMD_READ && this.#o.structured) {
      throw NbdError.protocol('simple reply to a read although structured replies were negotiated');
    }
    this.#done = true;
    if (error !== 0) {
      request.error = new NbdError(error, `server replied error ${error}`);
      this.#finishChunk();
    } else if (!content) {
      this.#finishChunk();
    } else if (request.type === wire.NBD_CMD_BLOCK_STATUS) {
      throw NbdError.protocol('simple reply to a block status');
    } else {
      request.data = Buffer.allocUnsafe(request.length);
      request.covered.push([0, request.length]);
      this.#collect(request.data, () => this.#finishChunk());
    }
  }

  #chunk(flags: number, type: number, length: number): void {
    if (!this.#o.structured) throw NbdError.protocol('structured reply that was not negotiated');
    const request = this.#request!;
    this.#done = (flags & wire.NBD_REPLY_FLAG_DONE) !== 0;
    const wants = (ok: boolean): void => {
      if (!ok) throw NbdError.protocol(`chunk of type ${type} and ${length} bytes does not fit its request`);
    };
    if (type >= 0x8000) {
      wants(length >= 6 && length <= MAX_SMALL_BODY);
      this.#collect(Buffer.allocUnsafe(length), (body) => this.#error(body));
    } else if (type === wire.NBD_REPLY_TYPE_NONE) {
      wants(length === 0 && this.#done);
      this.#finishChunk();
    } else if (type === wire.NBD_REPLY_TYPE_OFFSET_DATA) {
      wants(request.type === wire.NBD_CMD_READ && length > 8 && length - 8 <= request.length);
      this.#collect(Buffer.allocUnsafe(8), (body) => {
        const data = this.#content(readRelative(body, request), length - 8);
        this.#collect(data, () => this.#finishChunk());
      });
    } else if (type === wire.NBD_REPLY_TYPE_OFFSET_HOLE) {
      wants(request.type === wire.NBD_CMD_READ && length === 12);
      this.#collect(Buffer.allocUnsafe(12), (body) => {
        this.#content(readRelative(body, request), body.readUInt32BE(8)).fill(0);
        this.#finishChunk();
      });
    } else if (type === wire.NBD_REPLY_TYPE_BLOCK_STATUS) {
      wants(request.type === wire.NBD_CMD_BLOCK_STATUS && length >= 12 && length % 8 === 4);
      wants(length <= 4 + 8 * MAX_EXTENTS && request.extents.length === 0);
      this.#collect(Buffer.allocUnsafe(length), (body) => this.#extents(body));
    } else {
      wants(false);
    }
  }

  #collect(body: Buffer, then: (body: Buffer) => void): void {
    this.#body = body;
    this.#bodyHave = 0;
    this.#then = then;
    this.#finishBody();
  }

  #finishBody(): void {
    const body = this.#body;
    if (body === null || this.#bodyHave < body.length) return;
    this.#body = null;
    this.#then(body);
  }

  /** Notes a content chunk and returns its place in the result. */
  #content(start: number, length: number): Buffer {
    const request = this.#request!;
    if (start < 0 || length === 0 || start + length > request.length) {
      throw NbdError.protocol('content chunk outside its read');
    }
    const df = (request.flags & wire.NBD_CMD_FLAG_DF) !== 0;
    if (request.covered.length >= (df ? 1 : MAX_CHUNKS)) throw NbdError.protocol('too many content chunks');
    request.covered.push([start, start + length]);
    request.data ??= Buffer.allocUnsafe(request.length);
    return request.data.subarray(start, start + length);
  }

  #error(body: Buffer): void {
    const errno = body.readUInt32BE(0);
    const length = body.readUInt16BE(4);
    if (errno === 0 || length > body.length - 6) throw NbdError.protocol('malformed error chunk');
    const text = body.subarray(6, 6 + length).toString('utf8');
    this.#request!.error ??= new NbdError(errno, text === '' ? `server replied error ${errno}` : text);
    this.#finishChunk();
  }

  #extents(body: Buffer): void {
    const request = this.#request!;
    if (body.readUInt32BE(0) !== this.#o.contextId) throw NbdError.protocol('extents of an unknown context');
    const one = (request.flags & wire.NBD_CMD_FLAG_REQ_ONE) !== 0;
    let total = 0;
    for (let at = 4; at < body.length; at += 8) {
      const length = body.readUInt32BE(at);
      if (length === 0 || total >= request.length) throw NbdError.protocol('more extents than the range has room for');
      request.extents.push({ offset: Number(request.offset) + total, length, flags: body.readUInt32BE(at + 4) });
      total += length;
    }
    if (one && (request.extents.length !== 1 || total > request.length)) {
      throw NbdError.protocol('REQ_ONE was not honoured');
    }
    this.#finishChunk();
  }

  #finishChunk(): void {
    if (!this.#done) return;
    const request = this.#request!;
    this.#request = null;
    if (request.error === null) checkComplete(request);
    this.#o.pending.delete(this.#cookie);
    if (request.error !== null) request.reject(request.error);
    else request.resolve({ data: request.data ?? EMPTY, extents: request.extents });
  }
}

function headerBytes(magic: number): number {
  if (magic === wire.NBD_SIMPLE_REPLY_MAGIC) return wire.NBD_SIMPLE_REPLY_BYTES;
  if (magic === wire.NBD_STRUCTURED_REPLY_MAGIC) return wire.NBD_STRUCTURED_REPLY_BYTES;
  throw NbdError.protocol(`bad reply magic 0x${magic.toString(16)}`);
}

/** Reads 64 bits; above 2^53 the value is inexact, but then it matches no cookie and no offset in use. */
function readOffset(buf: Buffer, at: number): number {
  return buf.readUInt32BE(at) * TWO_32 + buf.readUInt32BE(at + 4);
}

function readRelative(body: Buffer, request: Pending): number {
  if (typeof request.offset === 'number') return readOffset(body, 0) - request.offset;
  return Number(body.readBigUInt64BE(0) - request.offset);
}

/** Checks that a request that succeeded has all it asked for, once. */
function checkComplete(request: Pending): void {
  if (request.type === wire.NBD_CMD_BLOCK_STATUS) {
    if (request.extents.length === 0) throw NbdError.protocol('block status without extents');
    return;
  }
  if (request.type !== wire.NBD_CMD_READ) return;
  const covered = request.covered;
  if (covered.length > 1) covered.sort((a, b) => a[0] - b[0]);
  let end = 0;
  for (const [start, next] of covered) {
    if (start < end) throw NbdError.protocol('content chunks overlap');
    if (start > end) break;
    end = next;
  }
  if (end !== request.length) throw NbdError.protocol('content chunks leave a gap');
}
