/**
 * One request in flight, as its connection and its device see it.
 *
 * Invariant: a request returns to its connection's pool only when no device call of it is outstanding, so a late
 * `settle` can never meet a request that has become another one.
 */
import type { ConnectionRequest } from './device.ts';
import type { ReadBuffer } from './read_buffers.ts';

/** WRITE: payload is arriving or its units are outstanding. */
export const PHASE_WRITE = 0;
/** TRIM, WRITE_ZEROES or FLUSH is with the device. */
export const PHASE_RANGE = 1;
/** The part that FUA asks for is with the device. */
export const PHASE_PERSIST = 2;
/** READ: slices are being fetched or delivered. */
export const PHASE_READ = 3;
/** BLOCK_STATUS that waits for room in the outbox. */
export const PHASE_STATUS = 4;
/** Nothing is left but the reply, which waits for room in the outbox. */
export const PHASE_REPLY = 5;

/** What a request needs of its connection. */
export interface RequestOwner {
  readonly signal: AbortSignal;
  fenced(): boolean;
  settled(request: Request, error: number): void;
  resumed(request: Request): void;
}

export class Request implements ConnectionRequest {
  type = 0;
  flags = 0;
  /** The cookie is opaque: two halves, echoed as they came. */
  cookieHi = 0;
  cookieLo = 0;
  offset = 0;
  length = 0;
  phase = 0;
  /** First error of the request, 0 for none. */
  error = 0;
  /** Why, in words; empty for the error's own name. */
  why = '';
  /** Device calls that will settle. */
  outstanding = 0;
  /** READ and WRITE: the device offset of the next byte. */
  position = 0;
  /** WRITE: bytes of payload that were not consumed yet. */
  missing = 0;
  /** READ: one for its slices, once a slice had to wait for the device; or one for each, where they are gathered. */
  readonly buffers: ReadBuffer[] = [];
  /** READ: how many of those it needs, while it waits for them. */
  hunger = 0;
  /** READ: slices that were gathered, or asked from the device. */
  gathered = 0;
  /** READ: bytes asked from the device into its one buffer, and later there. */
  slice = 0;
  /** READ: whether that buffer holds a slice that waits to be delivered. */
  loaded = false;
  /** The hook for tests has said what is to become of its reply (mishaps.ts). */
  judged = false;
  /** Next in the list of requests that wait for room. */
  next: Request | null = null;

  readonly #owner: RequestOwner;

  constructor(owner: RequestOwner) {
    this.#owner = owner;
  }

  /** Gives a pooled request its identity and forgets the previous one. */
  begin(type: number, flags: number, cookieHi: number, cookieLo: number, offset: number, length: number): void {
    this.type = type;
    this.flags = flags;
    this.cookieHi = cookieHi;
    this.cookieLo = cookieLo;
    this.offset = offset;
    this.length = length;
    this.error = 0;
    this.why = '';
    this.outstanding = 0;
    this.position = offset;
    this.missing = 0;
    this.loaded = false;
    this.gathered = 0;
    this.judged = false;
  }

  fail(error: number, why: string): void {
    if (this.error !== 0) return;
    this.error = error;
    this.why = why;
  }

  get signal(): AbortSignal {
    return this.#owner.signal;
  }

  fenced(): boolean {
    return this.#owner.fenced();
  }

  settle(error: number): void {
    this.#owner.settled(this, error);
  }

  resume(): void {
    this.#owner.resumed(this);
  }
}
