/**
 * What the client has seen: operations by outcome, their latencies, troubles (errors and lost connections), wrong pages, and
 * for each slot when it was last changed, shown to be right, and refused. The accounting of faults is made from it.
 *
 * Bounds: TROUBLES_MAX and WRONG_MAX are kept in memory, the rest is counted; the time series has them all.
 */
import { Answers } from './availability.ts';
import type { Wrong } from './checker.ts';
import { Histogram, type Latency } from './histogram.ts';

export const KINDS = [
  'read',
  'write',
  'part_read',
  'part_write',
  'trim',
  'write_zeroes',
  'flush',
  'cache',
  'block_status',
  'resend',
] as const;
export type Kind = (typeof KINDS)[number];

export const TROUBLES_MAX = 200_000;
const WRONG_MAX = 1000;

/** An error that the client got, as a request's answer or as the end of a connection. Times are of performance.now(). */
export interface Trouble {
  readonly is: 'request' | 'connection' | 'connect';
  readonly kind: Kind | null;
  readonly code: string;
  readonly text: string;
  readonly link: number;
  readonly slot: number;
  readonly count: number;
  /** When the request was sent, or the connection was last heard of. */
  readonly beganMs: number;
  readonly endedMs: number;
  /** The earliest time at which one of its slots got the content that it has: what went wrong before is no reason. */
  readonly sinceMs: number;
  readonly phase: string;
}

interface Tally {
  ok: number;
  failed: number;
  unanswered: number;
  bytes: number;
}

interface WrongPage extends Wrong {
  readonly ms: number;
  readonly phase: string;
}

export class Ledger {
  phase = 'start';
  readonly tallies: Record<Kind, Tally>;
  /** Of the whole run, and since `takeInterval` was last called. */
  readonly latencies: Record<Kind, Histogram>;
  readonly #interval: Record<Kind, Histogram>;
  readonly troubles: Trouble[] = [];
  readonly wrong: WrongPage[] = [];
  troubleCount = 0;
  wrongPages = 0;
  lostPages = 0;
  /** Pages that were read and held against the model. */
  verified = 0;
  connections = 0;
  reconnects = 0;
  /** Connections that were ended on purpose, with requests under way. */
  cuts = 0;
  lastOkMs = 0;
  readonly answers = new Answers(performance.now());
  readonly changedMs: Float64Array;
  readonly rightMs: Float64Array;
  readonly errorMs: Float64Array;
  onTrouble: (trouble: Trouble) => void = () => undefined;
  onWrong: (wrong: WrongPage) => void = () => undefined;

  constructor(slots: number) {
    const each = <T>(make: () => T): Record<Kind, T> =>
      Object.fromEntries(KINDS.map((kind) => [kind, make()])) as Record<Kind, T>;
    this.tallies = each(() => ({ ok: 0, failed: 0, unanswered: 0, bytes: 0 }));
    this.latencies = each(() => new Histogram());
    this.#interval = each(() => new Histogram());
    this.changedMs = new Float64Array(slots);
    this.rightMs = new Float64Array(slots);
    this.errorMs = new Float64Array(slots);
  }

  ok(kind: Kind, bytes: number, beganMs: number): void {
    const now = performance.now();
    const tally = this.tallies[kind];
    tally.ok++;
    tally.bytes += bytes;
    this.latencies[kind].add((now - beganMs) * 1000);
    this.#interval[kind].add((now - beganMs) * 1000);
    this.lastOkMs = now;
    this.answers.ok(now);
  }

  /** A request that was answered with an error. */
  failed(kind: Kind, code: string, where: { link: number; slot: number; count: number; beganMs: number }): void {
    this.tallies[kind].failed++;
    const endedMs = performance.now();
    this.answers.bad(endedMs);
    let sinceMs = where.count > 0 ? endedMs : 0;
    for (let slot = where.slot; slot < where.slot + where.count; slot++) {
      sinceMs = Math.min(sinceMs, this.changedMs[slot]);
      this.errorMs[slot] = endedMs;
    }
    this.trouble({ is: 'request', kind, code, text: `${kind} was answered ${code}`, endedMs, sinceMs, ...where });
  }

  /** `cut`: we have ended its connection ourselves. */
  unanswered(kind: Kind, cut = false): void {
    this.tallies[kind].unanswered++;
    if (!cut) this.answers.bad(performance.now());
  }

  trouble(one: Omit<Trouble, 'phase'>): void {
    const trouble = { ...one, phase: this.phase };
    this.troubleCount++;
    if (this.troubles.length < TROUBLES_MAX) this.troubles.push(trouble);
    this.onTrouble(trouble);
  }

  found(wrong: Wrong): void {
    const page = { ...wrong, ms: performance.now(), phase: this.phase };
    if (wrong.kind === 'lost') this.lostPages++;
    else this.wrongPages++;
    if (this.wrong.length < WRONG_MAX) this.wrong.push(page);
    this.onWrong(page);
  }

  changed(slot: number): void {
    this.changedMs[slot] = performance.now();
  }

  right(slot: number): void {
    this.verified++;
    this.rightMs[slot] = performance.now();
  }

  /** Latencies since the last call. */
  takeInterval(): Record<string, Latency> {
    const taken: Record<string, Latency> = {};
    for (const kind of KINDS) {
      if (this.#interval[kind].count === 0) continue;
      taken[kind] = this.#interval[kind].latency;
      this.#interval[kind].clear();
    }
    return taken;
  }

  get operations(): number {
    return KINDS.reduce((sum, kind) => sum + this.tallies[kind].ok, 0);
  }

  get bytes(): number {
    return KINDS.reduce((sum, kind) => sum + this.tallies[kind].bytes, 0);
  }
}
