/**
 * What a connection knows about the age of its bytes: when they came, and whether all have come that were sent before.
 *
 * The end of a TCP connection stands behind all that its client had queued, and arrives only when there is room for that. So
 * when the socket was not read for long, the bytes come in first, and what to do with them is seen then. Where the peer can't
 * be asked (plain Node), the same is done for any socket, as its end is seen only behind its bytes; and also when the thread
 * stood still, however few the bytes are that come after that.
 */
import { type OpenFence, STALE_AFTER_MS } from './fence.ts';
import type { Inbox } from './inbox.ts';
import type { LookAhead } from './look_ahead.ts';
import { stalls } from './stalls.ts';

/** If nothing came for this long, all has come that was sent before: the client's kernel answers at once. */
const LOOK_MS = 10;
/** Timers may be as early. */
const EARLY_MS = 1;
/**
 * After so many looks that all brought something, whoever sends is alive: what a kernel still has of a client that is gone
 * is at most CATCH_UP_BYTES, and comes as fast as it is taken. Looks and not time, because the thread can stand still.
 */
const MAX_LOOKS = 10;
/** A read of fewer bytes leaves none behind for which there was no room: no receive buffer of Linux is as small. */
const FULL_BUFFER = 32 * 1024;

export class Arrivals {
  /** When the socket was found empty before the bytes that came last: those came after it. */
  #cameAfter = Number.NEGATIVE_INFINITY;
  /** When it was last found empty. Nobody knows for how long the first bytes have lain there. */
  #emptyAt = Number.NEGATIVE_INFINITY;
  #pausedAt = 0;
  /** When it was seen last that nothing is here which came before a stall of the thread. */
  #soundAt = performance.now();
  #looking = false;
  /** Looks of the catching up that is under way, and when it began. */
  #looks = 0;
  #began = 0;
  readonly #fence: OpenFence | null;
  readonly #ahead: LookAhead | null;
  readonly #lookAgain: () => void;

  constructor(fence: OpenFence | null, ahead: LookAhead | null, lookAgain: () => void) {
    this.#fence = fence;
    this.#ahead = ahead;
    this.#lookAgain = lookAgain;
  }

  /** Bytes have come. `partly`: fewer than there was room for. Returns whether the socket was found empty. */
  read(partly: boolean): boolean {
    if (this.#ahead?.handing === true) return false;
    const now = performance.now();
    this.#cameAfter = this.#emptyAt;
    if (partly) this.#emptyAt = now;
    // If it pauses now, what stands behind old bytes may be as old.
    this.#pausedAt = this.#ahead !== null && this.stale ? Number.NEGATIVE_INFINITY : now;
    return partly;
  }

  /** Whether what came last may have lain there for long. */
  get stale(): boolean {
    return performance.now() - this.#cameAfter > STALE_AFTER_MS;
  }

  /** Whether the end may stand behind the `n` bytes that came last, and more; then the socket has to pause, for `catchUp`. */
  mayHideEnd(n: number): boolean {
    if (this.#fence === null) return false;
    const full = this.#fence.hidesEnd && n >= FULL_BUFFER && this.stale;
    if (!full && !this.#stood) return false;
    this.#pausedAt = Number.NEGATIVE_INFINITY;
    return true;
  }

  /**
   * The peer takes no bytes any more, so it has most likely gone; what it has sent before may end in a goodbye. Returns
   * whether that will be looked for: the socket has to pause then, for `catchUp`.
   */
  unheard(): boolean {
    if (this.#ahead === null || this.#ahead.peerClosed()) return false;
    this.#ahead.pause();
    this.#pausedAt = Number.NEGATIVE_INFINITY;
    return true;
  }

  /** The socket was found empty, and nothing is left of what it had. */
  emptied(): void {
    this.#soundAt = this.#emptyAt;
  }

  /** Whether the thread has stood still since it was certain that nothing old is here. What was put by was looked at. */
  get #stood(): boolean {
    return this.#ahead !== null && !this.#ahead.handing && stalls.stoodUntil > this.#soundAt;
  }

  /** After a long pause, takes in what there is, and true until that was all; `lookAgain` is called meanwhile. */
  catchUp(inbox: Inbox, took: (bytes: number) => void): boolean {
    if (this.#fence === null) return false;
    if (this.#looking) return true;
    const now = performance.now();
    if (this.#looks === 0) {
      if (now - this.#pausedAt < STALE_AFTER_MS) return false;
      this.#began = now;
    }
    if (!this.#found(inbox, took) || ++this.#looks === MAX_LOOKS) {
      this.#looks = 0;
      this.#pausedAt = now;
      this.#soundAt = now;
      // All that was sent before is here, so whatever is read next came after that.
      this.#emptyAt = Math.max(this.#emptyAt, this.#began);
      return false;
    }
    this.#looking = true;
    setTimeout(() => {
      this.#looking = false;
      this.#lookAgain();
    }, LOOK_MS);
    return true;
  }
  /** Whether a look has brought something, or has only begun. */
  #found(inbox: Inbox, took: (bytes: number) => void): boolean {
    if (this.#ahead !== null) return !this.#ahead.silent(LOOK_MS - EARLY_MS, this.#looks === 0);
    const bytes = this.#fence!.takeInto(inbox);
    if (bytes > 0) took(bytes);
    return bytes > 0;
  }
}
