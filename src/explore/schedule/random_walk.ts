/** Seeded random schedules: at each choice the mover goes on in two cases of three, else any enabled actor moves. */

import type { Engine } from '../engine.ts';
import { type Outcome, PLAIN_RUN } from '../run.ts';
import { MODE } from '../run_state.ts';
import { isShorter, PROGRESS_EVERY, type SearchOptions, type SearchResult } from './strategies.ts';

export function randomWalk(engine: Engine, o: SearchOptions): SearchResult {
  let failure: Outcome | null = null;
  let schedules = 0;
  while (schedules < o.schedulesMax) {
    const outcome = engine.run({ ...PLAIN_RUN, mode: MODE.RANDOM, all: true, seed: seedOf(o.seed, schedules) });
    schedules++;
    if (schedules % PROGRESS_EVERY === 0) o.onProgress?.(schedules, 0);
    if (outcome.finding !== null && isShorter(outcome, failure)) failure = outcome;
    if (failure !== null && o.first) break;
  }
  return { schedules, failure, complete: failure !== null };
}

/** A seed of its own for each run, so that run n does not depend on how many choices the runs before it had. */
export function seedOf(seed: number, run: number): number {
  return Math.imul(seed * 0x9e3779b1 + run + 1, 0x85ebca6b) | 0;
}
