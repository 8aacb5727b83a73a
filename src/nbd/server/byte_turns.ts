/**
 * When calls of ByteDevices begin. What a device does before it returns holds up everybody on this thread, and nobody can
 * know how long that will be; so it is measured, and a turn of the event loop begins no more calls once that took TURN_MS.
 *
 * Invariants:
 * - in one turn calls take TURN_MS together, and the excess of the last of them;
 * - connections whose calls wait for a turn take it by turns, one call each, so that nobody stands behind the hundred calls
 *   of another one;
 * - what waits is bounded by the requests that connections may have in flight.
 */

/** As much as a connection may do in a turn by itself (see turn_budget.ts). */
const TURN_MS = 0.5;

class CallTurns {
  /** By connection. None of the lists is empty. */
  readonly #waiting = new Map<object, (() => void)[]>();
  #left = TURN_MS;
  #armed = false;
  readonly #onTurn = (): void => this.#turn();

  /** Calls `run` now, or in a later turn. */
  begin(connection: object, run: () => void): void {
    if (this.#waiting.size === 0 && this.#left > 0) {
      this.#timed(run);
    } else {
      const waiting = this.#waiting.get(connection);
      if (waiting === undefined) this.#waiting.set(connection, [run]);
      else waiting.push(run);
    }
    this.#arm();
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    setImmediate(this.#onTurn);
  }

  #timed(run: () => void): void {
    const began = performance.now();
    run();
    this.#left -= performance.now() - began;
  }

  #turn(): void {
    this.#armed = false;
    this.#left = TURN_MS;
    for (const [connection, waiting] of this.#waiting) {
      if (this.#left <= 0) break;
      // To the end of the line, where this loop comes to it again.
      this.#waiting.delete(connection);
      const run = waiting.shift()!;
      if (waiting.length > 0) this.#waiting.set(connection, waiting);
      this.#timed(run);
    }
    if (this.#waiting.size > 0) this.#arm();
  }
}

/** Of this thread. */
export const callTurns = new CallTurns();
