/**
 * Whether this thread has stood still: its process was stopped, the host has swapped, or somebody has worked for long before
 * he returned. What lies in a socket then may be as old as that, and looks as if it had come just now.
 *
 * A thread that waits for events stands still as well, and nothing that it measures by itself tells one from the other. So a
 * timer beats while there are connections to know it. A turn of the event loop that takes STALE_AFTER_MS is always noticed,
 * one of less than STALE_AFTER_MS - BEAT_MS never.
 */
import { STALE_AFTER_MS } from './fence.ts';

const BEAT_MS = 250;

class Stalls {
  readonly #users = new Set<object>();
  #timer: NodeJS.Timeout | null = null;
  #beat = 0;
  #stoodUntil = Number.NEGATIVE_INFINITY;

  /** From now on until `leave` it is noticed. */
  enter(user: object): void {
    this.#users.add(user);
    if (this.#timer !== null) return;
    this.#beat = performance.now();
    this.#timer = setInterval(() => {
      this.#look();
      this.#beat = performance.now();
    }, BEAT_MS);
    // Who has a connection has a socket that keeps the process alive.
    this.#timer.unref();
  }

  leave(user: object): void {
    this.#users.delete(user);
    if (this.#users.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** When the thread stood still last, as `performance.now()` was when that was noticed. */
  get stoodUntil(): number {
    if (this.#timer !== null) this.#look();
    return this.#stoodUntil;
  }

  #look(): void {
    const now = performance.now();
    if (now - this.#beat < STALE_AFTER_MS) return;
    this.#stoodUntil = now;
    // Noticed once: a connection that is looked at from here on is none that stood still with the thread.
    this.#beat = now;
  }
}

/** Of this thread. */
export const stalls = new Stalls();
