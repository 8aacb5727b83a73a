/**
 * What threads count of a plan, in shared memory: per fault how often its site was reached, matched and injected, and a ring of
 * the injections. Each plan has a table of its own, made when it is applied, so nothing has to be reset while others count.
 *
 * A row of the ring is written by whoever took its number, and then its number is put beside it; a reader looks at that
 * before and after, so a row that is being overwritten is not told.
 */
import { float64, int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { FAULTS_MAX } from './rules.ts';

/** Injections that are remembered, the last ones: 3.3 MB. */
export const EVENT_ROWS = 65_536;

/** Columns of a row; the fault is told by its index. */
const COLUMN = { FAULT: 0, MS: 1, X: 2, SLOT: 3, COUNT: 4, CONNECTION: 5 } as const;
const ROW = Object.keys(COLUMN).length;

export const COUNT = { REACHED: 0, MATCHED: 2, INJECTED: 4 } as const;
/** Each count is two words, low and high: a hot site reaches 2^31 in hours. */
const COUNT_WORDS = 6;
const LOW = 2 ** 32;

export interface FaultTable {
  readonly counts: Int32Array;
  /** [events so far] */
  readonly control: Int32Array;
  readonly numbers: Int32Array;
  readonly events: Float64Array;
  /** When the plan was applied, by the clock of all threads (os/clock.ts), in milliseconds. */
  readonly since: number;
}

export interface FaultEvent {
  readonly n: number;
  readonly fault: number;
  readonly ms: number;
  /** -1 where there is none. */
  readonly x: number;
  readonly slot: number;
  readonly count: number;
  readonly connection: number;
}

export function createTable(since: number): FaultTable {
  return {
    counts: int32(FAULTS_MAX * COUNT_WORDS),
    control: int32(1),
    numbers: int32(EVENT_ROWS),
    events: float64(EVENT_ROWS * ROW),
    since,
  };
}

/** Counts one more, and says how many that makes. */
export function bump({ counts }: FaultTable, fault: number, what: number): number {
  const at = fault * COUNT_WORDS + what;
  const low = (sync.add(counts, at, 1) + 1) >>> 0;
  if (low === 0) sync.add(counts, at + 1, 1);
  return sync.load(counts, at + 1) * LOW + low;
}

export function countOf({ counts }: FaultTable, fault: number, what: number): number {
  const at = fault * COUNT_WORDS + what;
  return sync.load(counts, at + 1) * LOW + (sync.load(counts, at) >>> 0);
}

/** Takes one of so many `times`; false when all are taken. */
export function claim(table: FaultTable, fault: number, times: number): boolean {
  if (times < 0) {
    bump(table, fault, COUNT.INJECTED);
    return true;
  }
  const at = fault * COUNT_WORDS + COUNT.INJECTED;
  for (;;) {
    const seen = sync.load(table.counts, at);
    if (seen >= times) return false;
    if (sync.cas(table.counts, at, seen, seen + 1) === seen) return true;
  }
}

/** Numbers count up from 1. */
export function note(table: FaultTable, event: Omit<FaultEvent, 'n'>): void {
  const n = sync.add(table.control, 0, 1) + 1;
  const row = (n - 1) % EVENT_ROWS;
  const at = row * ROW;
  sync.store(table.numbers, row, 0);
  table.events[at + COLUMN.FAULT] = event.fault;
  table.events[at + COLUMN.MS] = event.ms;
  table.events[at + COLUMN.X] = event.x;
  table.events[at + COLUMN.SLOT] = event.slot;
  table.events[at + COLUMN.COUNT] = event.count;
  table.events[at + COLUMN.CONNECTION] = event.connection;
  sync.store(table.numbers, row, n);
}

/** The events behind number `after`, in order, and how many of those are not there any more. */
export function eventsAfter(table: FaultTable, after: number): { events: FaultEvent[]; lost: number } {
  const last = sync.load(table.control, 0);
  const events: FaultEvent[] = [];
  const first = Math.max(after + 1, last - EVENT_ROWS + 1);
  let lost = Math.max(0, first - after - 1);
  for (let n = first; n <= last; n++) {
    const row = (n - 1) % EVENT_ROWS;
    const before = sync.load(table.numbers, row);
    const [fault, ms, x, slot, count, connection] = table.events.subarray(row * ROW, (row + 1) * ROW);
    // One that is still being written is told the next time, and all behind it.
    if (before < n) break;
    if (before !== n || sync.load(table.numbers, row) !== n) lost++;
    else events.push({ n, fault, ms, x, slot, count, connection });
  }
  return { events, lost };
}
