/**
 * Exhaustive search with a preemption bound: every schedule with at most `bound` preemptions, those with fewer first.
 * (Musuvathi and Qadeer's iterative context bounding.)
 *
 * A schedule is a prefix of choices; after it, a run goes on by default and notes where it could have done otherwise. Each
 * of those is a longer prefix. Prefixes that differ make runs that differ, so nothing is tried twice. Where a run comes to
 * a state that another has been in (history.ts), its further branches are that one's, and are left out; so is the rest of
 * the run itself (known_states.ts).
 */

import type { Engine } from '../engine.ts';
import type { Choice, Decision, Outcome } from '../run.ts';
import { PLAIN_RUN } from '../run.ts';
import { MODE } from '../run_state.ts';
import { seedOf } from './random_walk.ts';
import { isShorter, PROGRESS_EVERY, type SearchOptions, type SearchResult } from './strategies.ts';

/** Rounds of learning; each one knows all words that the one before it met. */
const ROUNDS_MAX = 5;
/** Random runs that teach the first words; the rest is learned as the search meets them. */
const TEACHERS = 40;

export function exhaustive(engine: Engine, options: SearchOptions): SearchResult {
  if (options.all) return new Search(engine, options).run();
  for (let run = 0; run < TEACHERS; run++) {
    engine.run({ ...PLAIN_RUN, mode: MODE.RANDOM, all: true, seed: seedOf(options.seed, run) });
  }
  let schedules = 0;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const known = engine.learn();
    const left = { ...options, schedulesMax: options.schedulesMax - schedules };
    const result = new Search(engine, left, known).run();
    schedules += result.schedules;
    if (!result.outgrown) return { ...result, schedules };
  }
  return { schedules, failure: null, complete: false };
}

class Search {
  private readonly engine: Engine;
  private readonly o: SearchOptions;
  private readonly bound: number;
  private readonly known: number;
  /** Prefixes still to run, by number of preemptions. */
  private readonly waiting: Choice[][][];
  /** States that were branched from, with the number of preemptions it took to get there. */
  private readonly states = new Map<number, number>();
  private schedules = 0;
  private failure: Outcome | null = null;
  /** The failure is one that another scenario is for. */
  private beside = false;

  /** `known`: how many words were choices when the search began; without it, all are. */
  constructor(engine: Engine, options: SearchOptions, known = Number.POSITIVE_INFINITY) {
    this.engine = engine;
    this.o = options;
    this.bound = options.bound;
    this.known = known;
    this.waiting = Array.from({ length: options.bound + 1 }, () => []);
    this.waiting[0].push([]);
  }

  run(): SearchResult & { outgrown: boolean } {
    this.engine.forgetStates();
    for (let bound = 0; bound <= this.bound; bound++) {
      const level = this.waiting[bound];
      for (let prefix = level.pop(); prefix !== undefined; prefix = level.pop()) {
        if (this.schedules >= this.o.schedulesMax) return this.result(false);
        this.try(prefix, bound);
        if (this.failure !== null && this.o.first && !this.beside) return this.result(true);
      }
      if (this.failure !== null && !this.beside) return this.result(true);
      // Words that became choices on the way: runs so far did not branch at them.
      if (this.engine.racing() > this.known) return this.result(true, true);
    }
    return this.result(true);
  }

  private try(prefix: Choice[], bound: number): void {
    const upTo = this.o.all ? {} : { preemptions: bound };
    const outcome = this.engine.run({ ...PLAIN_RUN, schedule: prefix, all: this.o.all, ...upTo });
    this.schedules++;
    if (this.schedules % PROGRESS_EVERY === 0) this.o.onProgress?.(this.schedules, bound);
    if (outcome.finding !== null) this.take(outcome);
    for (const [i, decision] of this.engine.decisions().entries()) {
      if (!this.o.all && this.wasAt(i, decision.state, bound)) return;
      this.branch(prefix, bound, decision);
    }
  }

  /** Another run came to the same state with as few preemptions: it goes on as that one did, and branches as it did. */
  private wasAt(i: number, state: number, bound: number): boolean {
    const before = this.states.get(state);
    if (before !== undefined && before <= bound) return true;
    this.states.set(state, bound);
    this.engine.noteState(i, bound);
    return false;
  }

  private take(outcome: Outcome): void {
    const beside = this.engine.isBeside(outcome);
    if (this.failure !== null && beside !== this.beside ? beside : !isShorter(outcome, this.failure)) return;
    this.failure = outcome;
    this.beside = beside;
  }

  private branch(prefix: Choice[], bound: number, { position, mask, chosen, preempts }: Decision): void {
    const cost = bound + (preempts ? 1 : 0);
    if (cost > this.bound) return;
    for (let actor = 0, left = mask; left !== 0; actor++, left >>>= 1) {
      if ((left & 1) === 1 && actor !== chosen) this.waiting[cost].push([...prefix, { position, actor }]);
    }
  }

  private result(complete: boolean, outgrown = false): SearchResult & { outgrown: boolean } {
    return { schedules: this.schedules, failure: this.failure, complete, outgrown };
  }
}
