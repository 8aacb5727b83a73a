// Our clock against the server's: the trace's events have CLOCK_MONOTONIC of the guest, which means nothing elsewhere.
//
// Each answer has the server's time, which lies between our times of the question and of the answer. So the middle is wrong by half
// of the round trip at most, and by what the clocks drift apart after it.

/** What a clock that is disciplined may gain or lose: 500 µs a second. */
const DRIFT = 500e-6;

/** CLOCK_MONOTONIC in µs. */
export function now(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

export class Clock {
  /** What is added to our time for the server's, in µs. */
  offset = 0;
  private halfTrip = Number.POSITIVE_INFINITY;
  private measuredAt = 0;

  get isKnown(): boolean {
    return Number.isFinite(this.halfTrip);
  }

  errorAt(time: number): number {
    return this.halfTrip + Math.max(0, time - this.measuredAt) * DRIFT + 1;
  }

  /** An exchange; taken if it knows better than the best one does by now. */
  exchanged(asked: number, answered: number, server: number): void {
    const halfTrip = (answered - asked) / 2;
    if (this.isKnown && halfTrip >= this.errorAt(answered)) return;
    this.offset = server - (asked + answered) / 2;
    this.halfTrip = halfTrip;
    this.measuredAt = answered;
  }

  /** The server was started again, and counts from elsewhere. */
  forget(): void {
    this.halfTrip = Number.POSITIVE_INFINITY;
  }
}
