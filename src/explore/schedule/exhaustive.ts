/**
 * Exhaustive search with a preemption bound: every schedule with at most `bound` preemptions, those with fewer first.
 * (Musuvathi and Qadeer's iterative context bounding.)
 *
 * A schedule is a prefix of choices; after it, a run goes on by default and notes where it could have done otherwise. Each
 * of those is a longer prefix. Prefixes that differ make runs that differ, so nothing is tried twice. A prefix is not run if
 * its last choice is a move that another run has made (moves.ts) in the same state (history.ts) after as few preemptions; and
 * a run ends where it would make such a move (known_states.ts).
 */

import type { Engine } from '../engine.ts';
import type { Choice, Decision, Outcome } from '../run.ts';
import { PLAIN_RUN } from '../run.ts';
import { MODE } from '../run_state.ts';
import { COST_MAX, Moves } from '../search/moves.ts';
import { NOBODY } from './chooser.ts';
import { seedOf } from './random_walk.ts';
import { isShorter, PROGRESS_EVERY, type SearchOptions, type SearchResult } from './strategies.ts';

/** Rounds of learning; each one knows a word more than the one before it at least. */
const ROUNDS_MAX = 40;
/** Random runs that teach the first words; the rest is learned as the search meets them. */
const TEACHERS = 20;

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

/** A prefix still to run: its last choice lets `actor` move at `state`; the first prefix has no choices, and lets NOBODY move. */
interface Waiting {
  readonly prefix: readonly Choice[];
  readonly state: number;
  readonly actor: number;
}

class Search {
  private readonly engine: Engine;
  private readonly o: SearchOptions;
  private readonly bound: number;
  private readonly known: number;
  private readonly leaveOut: boolean;
  /** By number of preemptions. */
  private readonly waiting: Waiting[][];
  private readonly moves = new Moves();
  private schedules = 0;
  private failure: Outcome | null = null;
  /** The failure is one that another scenario is for. */
  private beside = false;

  /** `known`: how many words were choices when the search began; without it, all are. */
  constructor(engine: Engine, options: SearchOptions, known = Number.POSITIVE_INFINITY) {
    if (options.bound > COST_MAX) throw new Error(`a search has ${COST_MAX} preemptions at most`);
    this.engine = engine;
    this.o = options;
    this.bound = options.bound;
    this.known = known;
    this.leaveOut = options.leaveOut ?? !options.all;
    this.waiting = Array.from({ length: options.bound + 1 }, () => []);
    this.waiting[0].push({ prefix: [], state: 0, actor: NOBODY });
  }

  run(): SearchResult & { outgrown: boolean } {
    this.engine.forgetStates();
    for (let bound = 0; bound <= this.bound; bound++) {
      const level = this.waiting[bound];
      for (let next = level.pop(); next !== undefined; next = level.pop()) {
        // Another run has come by since.
        if (this.leaveOut && next.actor !== NOBODY && this.moves.isMade(next.state, next.actor, bound)) continue;
        if (this.schedules >= this.o.schedulesMax) return this.result(false);
        this.try(next, bound);
        if (this.failure !== null && this.o.first && !this.beside) return this.result(true);
        // A word has become a choice: runs so far did not branch at it.
        if (this.isOutgrown && this.failure === null) return this.result(true, true);
      }
      if (this.failure !== null && !this.beside) return this.result(true);
      if (this.isOutgrown) return this.result(true, true);
    }
    return this.result(true);
  }

  private get isOutgrown(): boolean {
    return this.engine.racingWords().length > this.known;
  }

  private try({ prefix, state, actor }: Waiting, bound: number): void {
    const upTo = this.leaveOut ? { preemptions: bound } : {};
    const outcome = this.engine.run({ ...PLAIN_RUN, schedule: prefix, all: this.o.all, ...upTo });
    this.schedules++;
    if (this.schedules % PROGRESS_EVERY === 0) this.o.onProgress?.(this.schedules, bound);
    if (outcome.finding !== null) this.take(outcome);
    if (this.leaveOut && actor !== NOBODY) this.made(state, actor, bound);
    let before = Number.NaN;
    for (const decision of this.engine.decisions()) {
      this.branch(prefix, bound, decision);
      if (!this.leaveOut) continue;
      // The run would take itself for another one.
      if (decision.state === before) throw new Error(`explorer: no state between decisions up to ${decision.position}`);
      before = decision.state;
      // From here on this run is another one, which has branched as this one would.
      if (this.moves.isMade(decision.state, decision.chosen, bound)) return;
      this.made(decision.state, decision.chosen, bound);
    }
  }

  private made(state: number, actor: number, bound: number): void {
    this.engine.noteMoves(state, this.moves.make(state, actor, bound));
  }

  private take(outcome: Outcome): void {
    const beside = this.engine.isBeside(outcome);
    if (this.failure !== null && beside !== this.beside ? beside : !isShorter(outcome, this.failure)) return;
    this.failure = outcome;
    this.beside = beside;
  }

  private branch(prefix: readonly Choice[], bound: number, decision: Decision): void {
    const { position, mask, chosen, preempts, state } = decision;
    const cost = bound + (preempts ? 1 : 0);
    if (cost > this.bound) return;
    for (let actor = 0, left = mask; left !== 0; actor++, left >>>= 1) {
      if ((left & 1) === 0 || actor === chosen) continue;
      if (this.leaveOut && !this.moves.owe(state, actor, cost)) continue;
      this.waiting[cost].push({ prefix: [...prefix, { position, actor }], state, actor });
    }
  }

  private result(complete: boolean, outgrown = false): SearchResult & { outgrown: boolean } {
    return { schedules: this.schedules, failure: this.failure, complete, outgrown };
  }
}
