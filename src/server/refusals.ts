/**
 * Says in the log that connections of one listener were turned away: the first at once, then one line per period with the
 * number of those left out, so that whoever knocks in a loop fills no disk. Every refusal is in exactly one line.
 */

/** At most one line per listener in this time. */
const PERIOD_MS = 10_000;

export class Refusals {
  private readonly log: (line: string) => void;
  private readonly name: string;
  private readonly periodMs: number;
  private timer: NodeJS.Timeout | null = null;
  private leftOut = 0;
  private closed = false;
  /** Why the last of those was turned away. */
  private reason = '';

  /** `name` as it begins the line. */
  constructor(name: string, log: (line: string) => void, periodMs = PERIOD_MS) {
    this.name = name;
    this.log = log;
    this.periodMs = periodMs;
  }

  add(reason: string): void {
    if (!this.closed && this.timer !== null) {
      this.leftOut++;
      this.reason = reason;
      return;
    }
    this.log(`${this.name}: connection refused: ${reason}`);
    if (!this.closed) this.wait();
  }

  /** Says what was left out so far. For the end of the listener: whoever is still turned away has a line of his own. */
  close(): void {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.say();
  }

  private wait(): void {
    this.timer = setTimeout(() => {
      this.timer = null;
      // A line opens the next period, so that a flood has one line in each.
      if (this.say()) this.wait();
    }, this.periodMs);
    this.timer.unref();
  }

  private say(): boolean {
    if (this.leftOut === 0) return false;
    this.log(`${this.name}: ${this.leftOut} further connections refused, the last one: ${this.reason}`);
    this.leftOut = 0;
    return true;
  }
}
