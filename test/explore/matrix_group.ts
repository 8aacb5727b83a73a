/** A part of the verdict matrix, small enough for a test file of its own: explored and compared with what is expected. */
import type { Test } from 'tap';
import type { Engine } from '#src/explore/engine.js';
import { cellFor, type Explored } from '#src/explore/matrix.js';
import { exploreCells } from '#src/explore/matrix_cells.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { allCombinations, USUAL } from '#src/protocols/combinations.js';
import { type Combination, DEFAULT_SWITCHES, type SwitchName } from '#src/protocols/index.js';
import { DEFAULT_COMBINATION } from '#src/protocols/presets.js';
import { TAKES_THREE } from '#src/scripts/pages/expected_matrix.js';
import { expectedVerdict, verdictOf } from '#src/scripts/pages/verdicts.js';
import { exploreCell, kindOf, withEngine } from './cells.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const BOUND = Number(process.env.ZSWAPD_BOUND ?? 2);
const SCHEDULES_MAX = 20_000_000;
/** Combinations that share a cell with another, per scenario, which are explored again on their own. */
const SAMPLE = LONG ? 2 : 1;
/** Thousands of schedules until the shortest that fails is found. */
const DEAREST = ['two-writebacks', 'fault-recursion-putback', 'fault-recursion-worker', 'flush-writeback'];

/**
 * With how many preemptions a plain run explores a combination, 0 being not at all. Its rule: two for what is served by default,
 * and wherever something is to be found in one that differs from the usual combination of its entry protocol in one choice at
 * most, be it a protocol or a switch; one for the other usual combinations, and where reclaim meets itself in two places, which is
 * the dearest of all. The dearest scenarios have the usual combinations alone.
 * That a broken choice does no harm in some scenario is nothing to rely on, and the canaries see to it that what is clean can turn
 * red. All 219 everywhere with two are for --long.
 */
function plainBound(combination: Combination, scenario: string): number {
  const usual = USUAL[combination.entry];
  const keys = new Set([...Object.keys(usual), ...Object.keys(combination)]) as Set<keyof Combination>;
  const choices = [...keys].filter((key) => settingOf(usual, key) !== settingOf(combination, key)).length;
  if (choices > 1) return 0;
  if (choices > 0 && DEAREST.includes(scenario)) return 0;
  if (verdictOf(combination, scenario) !== 'clean') return 2;
  if (choices > 0) return 0;
  return combination.entry === DEFAULT_COMBINATION.entry && !scenario.startsWith('fault-recursion-') ? 2 : 1;
}

/** A switch that is not named has its default, and so has the way that trees are indexed. */
function settingOf(combination: Combination, key: keyof Combination): unknown {
  return combination[key] ?? DEFAULT_SWITCHES[key as SwitchName];
}

/** `plain`: the rule of the plain run, if it is another. */
export async function checkGroup(t: Test, scenarios: readonly string[], plain = plainBound): Promise<void> {
  await withEngine(async (engine) => {
    for (const scenario of scenarios) {
      const bounds = new Map(allCombinations().map((one) => [one, LONG ? BOUND : plain(one, scenario)]));
      await t.test(scenario, (t) => checkScenario(t, engine, scenario, bounds));
    }
  });
}

/** Those with most preemptions first, because what shares a cell with one of them is explored by that. */
async function exploreAll(
  engine: Engine,
  scenario: string,
  bounds: ReadonlyMap<Combination, number>,
): Promise<Explored[]> {
  const explored: Explored[] = [];
  for (const bound of [...new Set(bounds.values())].filter((bound) => bound > 0).sort((a, b) => b - a)) {
    const left = [...bounds].filter(([one, own]) => own === bound && !cellFor(explored, scenario, one));
    const combinations = left.map(([one]) => one);
    explored.push(...(await exploreCells(engine, { scenario, bound, schedulesMax: SCHEDULES_MAX, combinations })));
  }
  return explored;
}

async function checkScenario(
  t: Test,
  engine: Engine,
  scenario: string,
  bounds: ReadonlyMap<Combination, number>,
): Promise<void> {
  const combinations = [...bounds].filter(([, bound]) => bound > 0).map(([one]) => one);
  const explored = await exploreAll(engine, scenario, bounds);
  const cut = explored.filter(({ complete }) => !complete);
  t.same(cut, [], 'every schedule within the bound was tried');
  const unexpected: string[] = [];
  for (const combination of combinations) {
    const name = formatCombination(combination);
    const verdict = cellFor(explored, scenario, combination)?.verdict ?? 'not explored';
    const expected = expectedVerdict(name, scenario);
    // With more preemptions the first finding of a broken cell may be of another kind, but what is clean stays clean.
    const clean = expected === 'clean' && !(BOUND > 2 && TAKES_THREE[name]?.includes(scenario));
    const same = BOUND > 2 ? (verdict === 'clean') === clean : verdict === expected;
    if (!same) unexpected.push(`${scenario} under ${name}: ${verdict}, not ${expected}`);
  }
  t.same(unexpected, [], 'verdicts are as expected');
  const schedules = explored.reduce((sum, one) => sum + one.schedules, 0);
  t.comment(`${explored.length} cells, ${schedules} schedules`);
  const own = new Set(explored.map(({ combination }) => formatCombination(combination)));
  const shared = [...bounds].filter(([one, bound]) => bound > 0 && !own.has(formatCombination(one)));
  if (shared.length > 0) await checkShared(t, engine, scenario, shared);
}

/** The switches that a cell's runs did not look at change nothing. */
async function checkShared(
  t: Test,
  engine: Engine,
  scenario: string,
  shared: readonly (readonly [Combination, number])[],
): Promise<void> {
  let seed = 20_240_131;
  const pick = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  for (let n = 0; n < SAMPLE; n++) {
    const [combination, bound] = shared[pick(shared.length)];
    const name = formatCombination(combination);
    const { failure } = await exploreCell(engine, scenario, name, { first: true, bound });
    t.equal(kindOf(failure), expectedVerdict(name, scenario), `${scenario} under ${name}, explored on its own`);
  }
}
