/**
 * What the server says of its faults: the table, and each injection, with its time on our clock. A server that was killed by a
 * fault takes its figures with it, so those that were heard last are added to those of the next.
 */
import { type Control, numberOf, type Row, rowsOf } from './control.ts';
import { Presences } from './presence.ts';

type FaultClass = 'must-tolerate' | 'must-detect' | 'may-lose';

export interface FaultRow {
  readonly id: string;
  readonly site: string;
  readonly action: string;
  readonly class: FaultClass;
  readonly armed: boolean;
  readonly active: boolean;
  readonly reached: number;
  readonly matched: number;
  readonly injected: number;
}

export interface FaultEvent {
  readonly id: string;
  /** Of performance.now() here. */
  readonly ms: number;
  /** -1 where there is none. */
  readonly slot: number;
  readonly count: number;
}

/**
 * Events that are kept; of more it is known how many there were, and the verdict is unknown. A poll each second is enough for
 * the 65,536 of the server's ring.
 */
const EVENTS_MAX = 2_000_000;
/**
 * What must be tolerated explains no error, so such events are only kept for as long as they may still be blamed for one by
 * name. After that an error is unaccounted for all the same.
 */
const BLAMED_WITHIN_MS = 120_000;
/** Between two times that old ones are looked for. */
const FORGET_EVERY = 20_000;
/** For plots: intervals in which there was an injection, of each fault. */
const MARK_MS = 1000;
const MARKS_MAX = 20_000;

export class FaultWatch {
  readonly #control: Control;
  readonly #name: string;
  #after = 0;
  /** Its clock beside ours, by the quickest answer so far. */
  #clock = { roundTripMs: Number.POSITIVE_INFINITY, offset: 0 };
  #rows = new Map<string, FaultRow>();
  #before = new Map<string, FaultRow>();
  events: FaultEvent[] = [];
  /** When each fault was injected, to the second. */
  readonly marks = new Map<string, Set<number>>();
  readonly presences = new Presences();
  readonly #forgotten = new Map<string, number>();
  #forgetAt = FORGET_EVERY;
  eventsLost = 0;
  seed: unknown = null;
  plan: unknown = null;
  /** Gets the events of each poll. */
  onEvents: (events: readonly FaultEvent[]) => void = () => undefined;

  constructor(control: Control, name: string) {
    this.#control = control;
    this.#name = name;
  }

  async poll(): Promise<void> {
    const asked = performance.now();
    const answer = await this.#control.faults(this.#after);
    const roundTripMs = performance.now() - asked;
    // Both clocks run alike. The answer was made between question and answer.
    if (roundTripMs < this.#clock.roundTripMs) {
      this.#clock = { roundTripMs, offset: asked + roundTripMs / 2 - numberOf(answer, 'now') };
    }
    const { offset } = this.#clock;
    this.seed = answer.seed ?? this.seed;
    this.plan = answer.plan ?? this.plan;
    this.eventsLost = Math.max(this.eventsLost, numberOf(answer, 'eventsLost'));
    const now = performance.now();
    for (const row of rowsOf(answer, 'faults')) {
      this.#take(row);
      this.presences.told(String(row.id), row.active === true, now);
    }
    const fresh: FaultEvent[] = [];
    for (const row of rowsOf(answer, 'events')) {
      this.#after = Math.max(this.#after, numberOf(row, 'n'));
      const isElsewhere = typeof row.export === 'string' && row.export !== '' && row.export !== this.#name;
      const slot = isElsewhere || typeof row.slot !== 'number' ? -1 : row.slot;
      fresh.push({ id: String(row.id), ms: numberOf(row, 'ms') + offset, slot, count: numberOf(row, 'count') || 1 });
    }
    for (const event of fresh) this.#keep(event);
    if (fresh.length > 0) this.onEvents(fresh);
  }

  /** The server is gone: what comes is of another one. */
  carry(): void {
    this.#before = new Map(this.rows.map((row) => [row.id, row]));
    this.#rows = new Map();
    this.#after = 0;
    this.#clock = { roundTripMs: Number.POSITIVE_INFINITY, offset: 0 };
  }

  /** A fault that ended the server could not say so. */
  ended(id: string): void {
    const row = this.#before.get(id);
    if (row === undefined) return;
    const once = (count: number): number => Math.max(1, count);
    const { reached, matched, injected } = row;
    this.#before.set(id, { ...row, reached: once(reached), matched: once(matched), injected: once(injected) });
    if (this.events.some((event) => event.id === id)) return;
    this.#keep({ id, ms: performance.now(), slot: -1, count: 1 });
  }

  /** Events of a fault that were told, and are not kept. */
  forgotten(id: string): number {
    return this.#forgotten.get(id) ?? 0;
  }

  get rows(): FaultRow[] {
    const ids = new Set([...this.#before.keys(), ...this.#rows.keys()]);
    return [...ids].map((id) => {
      const now = this.#rows.get(id);
      const before = this.#before.get(id);
      if (now === undefined || before === undefined) return (now ?? before)!;
      const sum = (name: 'reached' | 'matched' | 'injected'): number => now[name] + before[name];
      return { ...now, reached: sum('reached'), matched: sum('matched'), injected: sum('injected') };
    });
  }

  #keep(event: FaultEvent): void {
    this.presences.injected(event.id, event.ms);
    const marks = this.marks.get(event.id) ?? new Set();
    this.marks.set(event.id, marks);
    if (marks.size < MARKS_MAX) marks.add(Math.floor(event.ms / MARK_MS) * MARK_MS);
    if (this.events.length >= this.#forgetAt) this.#forget();
    if (this.events.length < EVENTS_MAX) this.events.push(event);
    else this.eventsLost++;
  }

  #forget(): void {
    const before = performance.now() - BLAMED_WITHIN_MS;
    const strict = new Set(this.rows.filter((row) => row.class === 'must-tolerate').map(({ id }) => id));
    this.events = this.events.filter(({ id, ms }) => {
      if (ms >= before || !strict.has(id)) return true;
      this.#forgotten.set(id, this.forgotten(id) + 1);
      return false;
    });
    this.#forgetAt = this.events.length + FORGET_EVERY;
  }

  #take(row: Row): void {
    const text = (name: string): string => String(row[name] ?? '');
    this.#rows.set(text('id'), {
      id: text('id'),
      site: text('site'),
      action: text('action'),
      class: text('class') as FaultClass,
      // After a clear none is; what counts is whether it ever was.
      armed: row.armed === true || this.#rows.get(text('id'))?.armed === true,
      active: row.active === true,
      reached: numberOf(row, 'reached'),
      matched: numberOf(row, 'matched'),
      injected: numberOf(row, 'injected'),
    });
  }
}
