/**
 * A hook for tests: what goes wrong with replies on purpose. Whoever serves gives a connection a ReplyMishaps and may put a
 * function into it, or take it out, at any time; it is asked once for each request, before its reply begins. Without a function
 * a reply costs one look at a field that is null.
 *
 * A held request counts as one in flight, so that the cap on those bounds what is held here.
 */
import * as wire from '../wire.ts';
import type { Request } from './request.ts';

/** The request that is about to be answered. */
export type ReplyRequest = Readonly<Pick<Request, 'type' | 'offset' | 'length'>>;

/**
 * error: it fails with that, whatever became of it. delay: it is answered so much later. behind: after the next one that is answered,
 * or after `ms`. never: not at all; whoever says so ends the connection. cookie: with one that no request has. twice: with
 * one reply too many. cut: what is sent next stops inside its first header or in its middle, for `ms`.
 */
export type Mishap =
  | { readonly kind: 'error'; readonly error: number }
  | { readonly kind: 'delay' | 'behind'; readonly ms: number }
  | { readonly kind: 'never' | 'cookie' | 'twice' }
  | { readonly kind: 'cut'; readonly where: 'header' | 'middle'; readonly ms: number };

export interface ReplyMishaps {
  next: ((request: ReplyRequest) => Mishap | null) | null;
}

/** What a connection has to which nothing happens. */
export const NO_MISHAPS: ReplyMishaps = { next: null };

/** What has to be done by those who send. */
interface Sender {
  /** Has what is sent next cut at so many bytes, or in its middle. */
  cutNext(at: number | null, ms: number): void;
  /** Answers a request now, if there is room. */
  extra(request: Request): void;
  /** A held request goes on, in a turn of its own. */
  goOn(request: Request, phase: number): void;
}

/** Bytes of a header that come before the rest: not even its cookie is whole. */
const HEADER_CUT = 7;
/** No client's cookie has it: they count up, or are pointers. */
const COOKIE_BIT = 0x5a000000;

export class HeldReplies {
  readonly #sender: Sender;
  readonly #held = new Map<Request, NodeJS.Timeout | null>();
  /** Those of them that the next reply lets go. */
  readonly #behind = new Set<Request>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** What is to become of a reply that would begin now; true if it does not. `phase`: where the request goes on. */
  meets(request: Request, mishaps: ReplyMishaps, phase: number): boolean {
    if (request.judged) return false;
    request.judged = true;
    const mishap = mishaps.next?.(request) ?? null;
    if (mishap?.kind !== 'behind') this.#letGo();
    if (mishap === null) return false;
    if (mishap.kind === 'error') request.fail(mishap.error, '');
    else if (mishap.kind === 'cookie') request.cookieHi = (request.cookieHi ^ COOKIE_BIT) >>> 0;
    else if (mishap.kind === 'cut') this.#sender.cutNext(mishap.where === 'header' ? HEADER_CUT : null, mishap.ms);
    else if (mishap.kind === 'twice') this.#twice(request);
    else return this.#hold(request, phase, mishap);
    return false;
  }

  /** The connection has ended: what was held is nobody's. */
  take(): Request[] {
    const all = [...this.#held.keys()];
    for (const timer of this.#held.values()) if (timer !== null) clearTimeout(timer);
    this.#held.clear();
    this.#behind.clear();
    return all;
  }

  #hold(request: Request, phase: number, mishap: Mishap): boolean {
    const ms = 'ms' in mishap ? mishap.ms : null;
    if (mishap.kind === 'behind') this.#behind.add(request);
    request.phase = phase;
    this.#held.set(request, ms === null ? null : setTimeout(() => this.#release(request), ms));
    return true;
  }

  #release(request: Request): void {
    const timer = this.#held.get(request);
    if (timer !== null) clearTimeout(timer);
    this.#behind.delete(request);
    if (this.#held.delete(request)) this.#sender.goOn(request, request.phase);
  }

  /** In a later turn, so that the reply that lets them go is before them. */
  #letGo(): void {
    if (this.#behind.size === 0) return;
    const now = [...this.#behind];
    setImmediate(() => {
      for (const request of now) this.#release(request);
    });
  }

  /** An error comes first where the other has a payload: a client would take what follows a good header for that. */
  #twice(request: Request): void {
    const { phase, error } = request;
    if (request.type === wire.NBD_CMD_READ || request.type === wire.NBD_CMD_BLOCK_STATUS) request.error = wire.NBD_EIO;
    this.#sender.extra(request);
    request.error = error;
    request.phase = phase;
  }
}
