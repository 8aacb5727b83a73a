// What a search leaves out changes nothing: beside it stands a search that runs every schedule within the bound, over the same
// scheduling points. Both end in the same states and meet the same findings; and a move leads to the same place wherever it
// is made, which is why making it once is enough.
import t from 'tap';
import type { Engine } from '#src/explore/engine.js';
import { type Outcome, PLAIN_RUN, type RunOptions } from '#src/explore/run.js';
import { MODE } from '#src/explore/run_state.js';
import type { SearchResult } from '#src/explore/schedule/strategies.js';
import { hashState } from '#src/explore/search/history.js';
import { addKnown, createKnown, forgetKnown, isKnown } from '#src/explore/search/known_states.js';
import { COST_MAX, costOf, Moves, withCost } from '#src/explore/search/moves.js';
import { enter, exploreCell, kindOf, withEngine } from './cells.ts';

// Every schedule of a cell, on a processor that others may want as well.
t.setTimeout(240_000);

const SAFE = 'pin-validate+pin-first+skip-eexist+erase';
const OLD = 'refcount-2013+free-immediately+skip-eexist+erase';

/** Scenario, combination, and the verdict of the shortest schedule that fails with 2 preemptions. A plain run has the small ones. */
const CELLS = [
  ['load', OLD, 'clean'],
  ['leak', OLD, 'leak'],
  ['stale-data', OLD, 'stale data'],
  ['rejected-store', SAFE, 'clean'],
  ['recycled-slot', SAFE, 'clean'],
  ['scrub-rejected', SAFE, 'clean'],
  ...(process.env.ZSWAPD_LONG === '1'
    ? ([
        ['load', SAFE, 'clean'],
        ['lru-skip', SAFE, 'clean'],
        ['swapoff', SAFE, 'clean'],
        ['swapoff-write', SAFE, 'clean'],
        ['resend-write', SAFE, 'clean'],
      ] as const)
    : []),
  ['slot-reuse', `${SAFE}+slotReusableBeforeInvalidate`, 'lost data'],
  ['fast-path', 'pin-validate+pin-first+skip-eexist+load-noreload', 'use after free'],
] as const;

interface Met {
  readonly result: SearchResult;
  readonly runs: number;
  /** States in which runs have ended. */
  readonly ends: ReadonlySet<string>;
  readonly findings: ReadonlySet<string>;
  /** Moves that led to two places. */
  readonly forked: readonly string[];
}

function stateOf({ board, words }: Engine): string {
  const state = new Int32Array(2);
  hashState(board, words, state, 0);
  return state.join(':');
}

function textOf({ finding }: Outcome): string {
  return finding === null ? '' : `${finding.kind}: ${finding.text} (${finding.step ?? 'at the end'})`;
}

/** What the runs of a search were, as seen from outside. Words that become choices begin it again. */
class Watch {
  readonly ends = new Set<string>();
  readonly findings = new Set<string>();
  readonly forked: string[] = [];
  runs = 0;
  private readonly leads = new Map<string, string>();
  /** States that a prefix branches from. */
  private readonly from = new Map<string, number>();

  note(engine: Engine, { schedule }: RunOptions, outcome: Outcome): void {
    if (schedule.length === 0) for (const one of [this.ends, this.findings, this.leads, this.from]) one.clear();
    this.runs++;
    if (!outcome.known) this.ends.add(stateOf(engine));
    if (outcome.finding !== null) this.findings.add(textOf(outcome));
    const decisions = engine.decisions();
    const moves = decisions.map(({ state, chosen }) => `${state} ${chosen}`);
    const first = this.from.get(JSON.stringify(schedule));
    const all = first === undefined ? moves : [`${first} ${schedule[schedule.length - 1].actor}`, ...moves];
    const end = outcome.known ? null : `${stateOf(engine)} ${textOf(outcome)}`;
    all.forEach((move, i) => {
      const to = all[i + 1] ?? end;
      if (to === null) return;
      if ((this.leads.get(move) ?? to) !== to) this.forked.push(`${move} leads to ${this.leads.get(move)} and ${to}`);
      this.leads.set(move, to);
    });
    for (const { position, mask, state } of decisions) {
      for (let actor = 0; mask >>> actor !== 0; actor++) {
        this.from.set(JSON.stringify([...schedule, { position, actor }]), state);
      }
    }
  }
}

async function watch(engine: Engine, scenario: string, combination: string, leaveOut: boolean): Promise<Met> {
  const { run } = engine;
  const watched = new Watch();
  engine.run = (options) => {
    const outcome = run.call(engine, options);
    if (options.mode === MODE.PREFIX) watched.note(engine, options, outcome);
    return outcome;
  };
  try {
    const result = await exploreCell(engine, scenario, combination, { leaveOut });
    return { result, ...watched };
  } finally {
    engine.run = run;
  }
}

t.test('what is left out is found elsewhere', (t) =>
  withEngine(async (engine) => {
    for (const [scenario, combination, verdict] of CELLS) {
      const name = `${scenario} under ${combination}`;
      const all = await watch(engine, scenario, combination, false);
      const less = await watch(engine, scenario, combination, true);
      t.ok(all.result.complete && less.result.complete, `${name}: both searches are complete`);
      t.equal(kindOf(all.result.failure), verdict, `${name}: the verdict of all schedules`);
      t.equal(kindOf(less.result.failure), verdict, `${name}: the verdict of fewer`);
      t.same([...less.ends].sort(), [...all.ends].sort(), `${name}: ${all.ends.size} final states`);
      t.same([...less.findings].sort(), [...all.findings].sort(), `${name}: ${all.findings.size} findings`);
      t.same(all.forked, [], `${name}: each move leads to one place`);
      t.ok(less.runs < all.runs, `${name}: ${less.runs} runs instead of ${all.runs}`);
    }
  }),
);

t.test('a run that would take itself for another one is an error', (t) =>
  withEngine(async (engine) => {
    await enter(engine, 'load', SAFE);
    const { decisions } = engine;
    engine.decisions = () => decisions.call(engine).flatMap((one) => [one, one]);
    await t.rejects(exploreCell(engine, 'load', SAFE), /no state between decisions/);
  }),
);

t.test('words that become choices late begin the search again, at once', (t) =>
  withEngine(async (engine) => {
    const { run } = engine;
    const begun: number[] = [];
    let words = 0;
    engine.run = (options) => {
      if (options.mode === MODE.PREFIX && options.schedule.length === 0) begun.push(engine.racingWords().length);
      else if (options.mode === MODE.PREFIX) words = Math.max(words, engine.racingWords().length);
      return run.call(engine, options);
    };
    const { complete } = await exploreCell(engine, 'load', OLD);
    t.ok(complete);
    t.equal(begun.length, 2, 'twice');
    t.ok(begun[0] < begun[1] && words === begun[1], 'with a word more, and no run went on without it');
  }),
);

t.test('moves: each is owed once, and made with the fewest preemptions', async (t) => {
  const moves = new Moves();
  t.equal(moves.isMade(7, 1, 2), false);
  t.equal(moves.owe(7, 1, 2), true);
  t.equal(moves.owe(7, 1, 2), false, 'somebody sees to it');
  t.equal(moves.owe(7, 1, 1), true, 'a cheaper one is another one');
  t.equal(moves.isMade(7, 1, 2), false, 'to be owed is not to be made');
  t.equal(costOf(moves.make(7, 1, 1), 1), 1);
  t.equal(costOf(moves.make(7, 1, 2), 1), 1, 'the cheaper one stays');
  t.equal(moves.isMade(7, 1, 1), true);
  t.equal(moves.isMade(7, 1, 0), false, 'not after fewer preemptions');
  t.equal(moves.isMade(7, 0, 2), false, 'nor by another actor');
  t.equal(moves.isMade(8, 1, 2), false, 'nor in another state');
  t.equal(moves.owe(7, 1, 2), false, 'made is as good as owed');
});

t.test('moves: the actors of a state have their costs beside each other', async (t) => {
  let packed = 0;
  for (let actor = 0; actor < 6; actor++) packed = withCost(packed, actor, actor === 5 ? COST_MAX : actor);
  packed = withCost(packed, 2, 0);
  t.same(
    [0, 1, 2, 3, 4, 5].map((actor) => costOf(packed, actor)),
    [0, 1, 0, 3, 4, COST_MAX],
  );
});

t.test('the threads know the moves that were made, until a search begins', async (t) => {
  const known = createKnown();
  const [high, low] = [0x9abcdef0, 0x12345];
  forgetKnown(known);
  addKnown(known, high * 2 ** 20 + low, withCost(0, 3, 1));
  t.equal(isKnown(known, high | 0, low, 3, 1), true);
  t.equal(isKnown(known, high | 0, low, 3, 0), false, 'after fewer preemptions');
  t.equal(isKnown(known, high | 0, low, 2, 1), false, 'another actor');
  forgetKnown(known);
  t.equal(isKnown(known, high | 0, low, 3, 1), false);
});

t.test('a search has as many preemptions as can be told apart', (t) =>
  withEngine(async (engine) => {
    await t.rejects(exploreCell(engine, 'load', SAFE, { bound: COST_MAX + 1 }), /preemptions at most/);
    t.equal(PLAIN_RUN.preemptions, undefined, 'and a run of its own ends nowhere else');
  }),
);
