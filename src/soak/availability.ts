/**
 * How well requests were answered while a fault was there: the share of them that succeeded, and the longest time without any that
 * did. Kept by the second.
 */

/** Seconds that are kept: a week. Of a longer run what comes later is in the time series only. */
const SECONDS_MAX = 7 * 86_400;

export interface Availability {
  /** Of the requests that ended, those that succeeded; null where none ended. */
  readonly answered: number | null;
  readonly longestGapMs: number;
}

/** A time in which a fault was there, of performance.now(). */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export class Answers {
  readonly #beganMs: number;
  readonly #ok: number[] = [];
  readonly #bad: number[] = [];
  /** By second: the longest gap that it has a part of. */
  readonly #gap: number[] = [];
  #lastOkMs: number;

  constructor(beganMs: number) {
    this.#beganMs = beganMs;
    this.#lastOkMs = beganMs;
  }

  ok(nowMs: number): void {
    const second = this.#second(nowMs);
    if (second >= SECONDS_MAX) return;
    this.#ok[second] = (this.#ok[second] ?? 0) + 1;
    const gap = nowMs - this.#lastOkMs;
    for (let s = this.#second(this.#lastOkMs); s <= second; s++) this.#gap[s] = Math.max(this.#gap[s] ?? 0, gap);
    this.#lastOkMs = nowMs;
  }

  bad(nowMs: number): void {
    const second = this.#second(nowMs);
    if (second < SECONDS_MAX) this.#bad[second] = (this.#bad[second] ?? 0) + 1;
  }

  during(spans: readonly Span[]): Availability {
    const seconds = new Set<number>();
    for (const { fromMs, toMs } of spans) {
      const end = Math.min(SECONDS_MAX - 1, this.#second(toMs));
      for (let s = this.#second(fromMs); s <= end; s++) seconds.add(s);
    }
    let ok = 0;
    let bad = 0;
    let longestGapMs = 0;
    for (const s of seconds) {
      ok += this.#ok[s] ?? 0;
      bad += this.#bad[s] ?? 0;
      longestGapMs = Math.max(longestGapMs, this.#gap[s] ?? 0);
    }
    return { answered: ok + bad === 0 ? null : ok / (ok + bad), longestGapMs };
  }

  #second(ms: number): number {
    return Math.max(0, Math.floor((ms - this.#beganMs) / 1000));
  }
}
