/**
 * Counters in shared memory: one row of 64-bit floats per thread, each written by its own thread only, summed on reading.
 *
 * A double counts exactly to 2^53. A row may be negative (a page stored by one lane and freed by another); the sum is what
 * means something. Whoever counts something declares it, in a block of columns of its own:
 *
 *   waits (shm/waits.ts) | pool/counters.ts | image/counters.ts | zswap/counters.ts | server/lane_counters.ts | free
 *
 * Each block begins where the one that it is built on ends; what a server shows puts them together (server/counters.ts).
 */
import { assert } from './assert.ts';
import { float64 } from './columns.ts';

/** Columns of a row, of whoever they are: whole cache lines, so that no two threads write to the same one. */
export const COLUMNS = 64;
assert((COLUMNS * 8) % 64 === 0, 'a row is whole cache lines');

/** What one owner counts: columns [first, end) of each row. */
export interface CounterBlock<Name extends string> {
  readonly first: number;
  readonly end: number;
  /** By name, in the order of their columns: what is counted, in one line. */
  readonly texts: Readonly<Record<Name, string>>;
  readonly columns: Readonly<Record<Name, number>>;
}

export function declareCounters<Name extends string>(
  first: number,
  texts: Readonly<Record<Name, string>>,
): CounterBlock<Name> {
  const names = Object.keys(texts);
  const end = first + names.length;
  assert(end <= COLUMNS, 'the counters of all owners fit a row');
  const columns = Object.fromEntries(names.map((name, i) => [name, first + i])) as Record<Name, number>;
  return { first, end, texts, columns };
}

export type Counters = Float64Array;

export function createCounters(threads: number): Counters {
  return float64(threads * COLUMNS);
}

/** The row of one thread; only that thread writes it. */
export function rowOf(all: Counters, thread: number): Float64Array {
  return all.subarray(thread * COLUMNS, (thread + 1) * COLUMNS);
}

export function sum(all: Counters, column: number): number {
  let total = 0;
  for (let at = column; at < all.length; at += COLUMNS) total += all[at];
  return total;
}
