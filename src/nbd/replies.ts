/**
 * Replies of one connection: their encoding, and the order in which they get room in the outbox.
 *
 * Invariants:
 * - while a simple reply to a long READ is under way (`exclusive`), nothing else enters the outbox: its payload has no
 *   frames that other replies could stand between;
 * - a request that found no room stands in one list until it gets some. It counts as in flight, so the cap on those
 *   bounds the list.
 */
import type { Outbox } from './outbox.ts';
import { PHASE_REPLY, type Request } from './request.ts';
import { wireError } from './validate.ts';
import * as wire from './wire.ts';

/** Longest reason in an error chunk, in bytes; reasons are constants of this package, in ASCII. */
const MAX_WHY = 128;
/** Room that a final reply may need. */
const MAX_FINAL = wire.NBD_STRUCTURED_REPLY_BYTES + 6 + MAX_WHY;

const WORDS: ReadonlyMap<number, string> = new Map([
  [wire.NBD_EPERM, 'operation not permitted'],
  [wire.NBD_EIO, 'input/output error'],
  [wire.NBD_ENOMEM, 'out of memory'],
  [wire.NBD_EINVAL, 'invalid argument'],
  [wire.NBD_ENOSPC, 'no space left'],
  [wire.NBD_EOVERFLOW, 'too large'],
  [wire.NBD_ENOTSUP, 'not supported'],
  // Of a device: one may refuse for itself while the server goes on.
  [wire.NBD_ESHUTDOWN, 'the export is shut down, or the server is'],
]);

export class Replies {
  readonly outbox: Outbox;
  readonly structured: boolean;
  /** The READ whose simple reply is under way. */
  exclusive: Request | null = null;
  #head: Request | null = null;
  #tail: Request | null = null;

  constructor(outbox: Outbox, structured: boolean) {
    this.outbox = outbox;
    this.structured = structured;
  }

  /** The first request that waits for room. */
  get first(): Request | null {
    return this.#head;
  }

  get last(): Request | null {
    return this.#tail;
  }

  /** Whether a reply of `request` may enter the outbox now, if there is room. */
  mayEnter(request: Request): boolean {
    return this.exclusive === null ? this.#head === null : this.exclusive === request;
  }

  /** Lets a request wait. The exclusive one goes first, as all others wait for it. */
  defer(request: Request): void {
    if (this.#head === null) {
      this.#head = request;
      this.#tail = request;
      request.next = null;
    } else if (request === this.exclusive) {
      request.next = this.#head;
      this.#head = request;
    } else {
      this.#tail!.next = request;
      this.#tail = request;
      request.next = null;
    }
  }

  /** Takes the first request that waits, unless it has to wait on for the exclusive one. */
  shift(): Request | null {
    const request = this.#head;
    if (request === null || (this.exclusive !== null && this.exclusive !== request)) return null;
    return this.take();
  }

  /** Takes the first request in any case. */
  take(): Request | null {
    const request = this.#head;
    if (request === null) return null;
    this.#head = request.next;
    if (this.#head === null) this.#tail = null;
    request.next = null;
    return request;
  }

  /** Writes the final reply of a request, success without payload or its error. False if there is no room. */
  final(request: Request): boolean {
    request.phase = PHASE_REPLY;
    const outbox = this.outbox;
    if (!outbox.reserve(MAX_FINAL)) return false;
    const error = request.error === 0 ? 0 : wireError(request.error);
    if (!this.structured) this.simple(request, error);
    else if (error === 0) this.chunk(request, wire.NBD_REPLY_TYPE_NONE, true, 0);
    else this.#errorChunk(request, error);
    return true;
  }

  /** Writes the header of a simple reply; the room is reserved. */
  simple(request: Request, error: number): void {
    const { view, at } = this.outbox;
    view.setUint32(at, wire.NBD_SIMPLE_REPLY_MAGIC);
    view.setUint32(at + 4, error);
    view.setUint32(at + 8, request.cookieHi);
    view.setUint32(at + 12, request.cookieLo);
    this.outbox.at = at + wire.NBD_SIMPLE_REPLY_BYTES;
  }

  /** Writes the header of a chunk with `length` bytes of payload; the room is reserved. */
  chunk(request: Request, type: number, done: boolean, length: number): void {
    const { view, at } = this.outbox;
    view.setUint32(at, wire.NBD_STRUCTURED_REPLY_MAGIC);
    view.setUint16(at + 4, done ? wire.NBD_REPLY_FLAG_DONE : 0);
    view.setUint16(at + 6, type);
    view.setUint32(at + 8, request.cookieHi);
    view.setUint32(at + 12, request.cookieLo);
    view.setUint32(at + 16, length);
    this.outbox.at = at + wire.NBD_STRUCTURED_REPLY_BYTES;
  }

  /** Writes the device offset of a chunk's content. */
  offset(value: number): void {
    const { view, at } = this.outbox;
    view.setUint32(at, Math.floor(value / 0x1_0000_0000));
    view.setUint32(at + 4, value >>> 0);
    this.outbox.at = at + 8;
  }

  #errorChunk(request: Request, error: number): void {
    const why = (request.why || (WORDS.get(error) ?? '')).slice(0, MAX_WHY);
    this.chunk(request, wire.NBD_REPLY_TYPE_ERROR, true, 6 + why.length);
    const { view, bytes, at } = this.outbox;
    view.setUint32(at, error);
    view.setUint16(at + 4, why.length);
    bytes.write(why, at + 6, 'latin1');
    this.outbox.at = at + 6 + why.length;
  }
}
