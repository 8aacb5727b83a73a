/**
 * What is counted per export: memory of its objects and pages that were stored raw, in a row of each thread, and what may be
 * written back on demand, where each word has one writer.
 *
 *   WRITTEN   pages written back on demand since the start          the shrinker's thread
 *   UNTIL     where WRITTEN has to stop; Infinity for no limit      the main thread, as WRITTEN + what is left
 *   PERIOD    the interval that the budget was last used in         the shrinker's thread
 *   BEGAN     what WRITTEN was when that began                      the shrinker's thread
 *
 * So a limit is one word, and setting it needs no lock: a page that is being written at that moment counts for the old one or
 * for the new one.
 */
import { float64 } from '../shm/columns.ts';
import type { Clock } from './access_time.ts';
import { PAGE_SIZE, THREADS_MAX } from './limits.ts';

const MEMORY = 0;
const HUGE_SINCE = 1;
const COLUMNS = 2;
/** Rows of two threads share no line of the cache. */
const LINE_WORDS = 8;

const WRITTEN = 0;
const UNTIL = 1;
const PERIOD = 2;
const BEGAN = 3;
const DEMAND_COLUMNS = 4;

/** Pages that may be written back on demand in each interval of so many ticks. */
export interface WritebackBudget {
  readonly pages: number;
  readonly ticks: number;
}

export interface ExportAccounts {
  readonly stride: number;
  readonly cells: Float64Array;
  readonly demand: Float64Array;
}

export function createAccounts(exports: number): ExportAccounts {
  const stride = Math.ceil((exports * COLUMNS) / LINE_WORDS) * LINE_WORDS;
  const demand = float64(exports * DEMAND_COLUMNS);
  for (let x = 0; x < exports; x++) demand[x * DEMAND_COLUMNS + UNTIL] = Number.POSITIVE_INFINITY;
  return { stride, cells: float64(THREADS_MAX * stride), demand };
}

/** An object of export `x` came (`sign` 1) or went (-1); `footprint` is what its allocator takes for it. */
export function countObject(
  t: ExportAccounts,
  thread: number,
  x: number,
  bytes: number,
  footprint: number,
  sign: 1 | -1,
): void {
  const at = thread * t.stride + x * COLUMNS;
  t.cells[at + MEMORY] += sign * footprint;
  if (bytes === PAGE_SIZE && sign > 0) t.cells[at + HUGE_SINCE]++;
}

/** Bytes that the allocator takes for the objects of export `x`. */
export function memoryOf(t: ExportAccounts, x: number): number {
  return total(t, x, MEMORY);
}

/** Pages of export `x` that were stored raw, since the start. */
export function hugeSince(t: ExportAccounts, x: number): number {
  return total(t, x, HUGE_SINCE);
}

function total({ cells, stride }: ExportAccounts, x: number, column: number): number {
  let sum = 0;
  for (let at = x * COLUMNS + column; at < cells.length; at += stride) sum += cells[at];
  return sum;
}

export function onDemandPages({ demand }: ExportAccounts, x: number): number {
  return demand[x * DEMAND_COLUMNS + WRITTEN];
}

/** Pages that the limit leaves; Infinity without one. */
export function limitLeft({ demand }: ExportAccounts, x: number): number {
  const at = x * DEMAND_COLUMNS;
  return Math.max(0, demand[at + UNTIL] - demand[at + WRITTEN]);
}

/** By the main thread: so many pages from now on, or Infinity. */
export function limitWriteback({ demand }: ExportAccounts, x: number, pages: number): void {
  const at = x * DEMAND_COLUMNS;
  demand[at + UNTIL] = demand[at + WRITTEN] + pages;
}

/** Pages that the budget leaves in the interval that is now; Infinity without one. */
export function budgetLeft(t: ExportAccounts, x: number, budget: WritebackBudget | undefined, clock: Clock): number {
  if (budget === undefined) return Number.POSITIVE_INFINITY;
  const at = x * DEMAND_COLUMNS;
  if (t.demand[at + PERIOD] !== periodOf(budget, clock)) return budget.pages;
  return Math.max(0, budget.pages - (t.demand[at + WRITTEN] - t.demand[at + BEGAN]));
}

/** By the shrinker's thread: a page was written back on demand. */
export function countOnDemand(
  { demand }: ExportAccounts,
  x: number,
  budget: WritebackBudget | undefined,
  clock: Clock,
): void {
  const at = x * DEMAND_COLUMNS;
  const period = budget === undefined ? 0 : periodOf(budget, clock);
  if (demand[at + PERIOD] !== period) {
    demand[at + BEGAN] = demand[at + WRITTEN];
    demand[at + PERIOD] = period;
  }
  demand[at + WRITTEN]++;
}

/** Intervals are counted from the start of the server. */
function periodOf({ ticks }: WritebackBudget, clock: Clock): number {
  return Math.floor(clock[0] / ticks);
}
