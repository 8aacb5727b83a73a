/**
 * PCT, probabilistic concurrency testing (Burckhardt and others, ASPLOS 2010), with `bound` changes of priority in each run;
 * priorities.ts says what those are.
 *
 * A change is no preemption: an actor that is woken preempts at once if its priority is higher, at no cost, and to hold it
 * back takes a change of its own. So a bug may need more changes than the preemptions of an exhaustive search.
 */

import type { Engine } from '../engine.ts';
import { type Outcome, PLAIN_RUN } from '../run.ts';
import { MODE } from '../run_state.ts';
import { drawPriorities } from './priorities.ts';
import { seedOf } from './random_walk.ts';
import { isShorter, PROGRESS_EVERY, type SearchOptions, type SearchResult } from './strategies.ts';

export function pct(engine: Engine, o: SearchOptions): SearchResult {
  const plain = engine.run(PLAIN_RUN);
  let failure: Outcome | null = plain.finding === null ? null : plain;
  let schedules = 1;
  let { positions } = plain;
  while (schedules < o.schedulesMax && !(failure !== null && o.first)) {
    const next = generator(seedOf(o.seed, schedules));
    const drawn = drawPriorities(next, o.bound, positions);
    const outcome = engine.run({ ...PLAIN_RUN, mode: MODE.PCT, all: true, ...drawn });
    schedules++;
    positions = Math.max(positions, outcome.positions);
    if (schedules % PROGRESS_EVERY === 0) o.onProgress?.(schedules, o.bound);
    if (outcome.finding !== null && isShorter(outcome, failure)) failure = outcome;
  }
  return { schedules, failure, complete: failure !== null };
}

/** mulberry32: small, and good enough to pick positions. */
function generator(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}
