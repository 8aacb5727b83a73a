/**
 * When an entry was last stored or read: the number of a tick, in a column that is written without a lock, because it is a
 * hint. The clock is a word of shared memory that the main thread moves, so that a page costs a load and a store, and no call.
 *
 * Ages are differences modulo 2^32 ticks, 34 years: an entry that nobody has used for so long looks young, and is none the worse.
 */
import type { Entries } from './entries.ts';

/** A quarter of a second: ages are asked for in seconds, and "idle since now" is answered when the tick is over. */
export const TICK_MS = 250;
export const TICKS_PER_SECOND = 1000 / TICK_MS;
/** What an age can be at most. */
export const AGE_MAX = 2 ** 32 - 1;

/** One word: the number of the tick. */
export type Clock = Uint32Array;

/** Entry `e` is used now. */
export function touch(clock: Clock, t: Pick<Entries, 'accessed'>, e: number): void {
  t.accessed[e] = clock[0];
}

/** How many ticks ago that was. */
export function ageOf(clock: Clock, tick: number): number {
  return (clock[0] - tick) >>> 0;
}

/** The tick that was so many ago; it may be before the first one, and then nothing is as old. */
export function tickBefore(clock: Clock, ticks: number): number {
  return (clock[0] - Math.min(ticks, AGE_MAX)) >>> 0;
}

/** Whether entry `e` was used in this tick the last time, or before it. */
export function unusedSince(clock: Clock, t: Pick<Entries, 'accessed'>, e: number, tick: number): boolean {
  return ageOf(clock, t.accessed[e]) >= ageOf(clock, tick);
}
