/** A part of the verdict matrix, small enough for a test file of its own: explored and compared with what is expected. */
import type { Test } from 'tap';
import type { Engine } from '#src/explore/engine.js';
import { cellFor } from '#src/explore/matrix.js';
import { exploreCells } from '#src/explore/matrix_cells.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { allCombinations, broken, USUAL } from '#src/protocols/combinations.js';
import { type Combination, DEFAULT_SWITCHES, type SwitchName } from '#src/protocols/index.js';
import { TAKES_THREE } from '#src/scripts/pages/expected_matrix.js';
import { expectedVerdict, verdictOf } from '#src/scripts/pages/verdicts.js';
import { exploreCell, kindOf, withEngine } from './cells.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const BOUND = Number(process.env.ZSWAPD_BOUND ?? 2);
const SCHEDULES_MAX = 20_000_000;
/** Combinations that share a cell with another, per scenario, which are explored again on their own. */
const SAMPLE = 2;
/** About a thousand schedules and more in each clean cell. */
const DEAREST = [
  ...['two-writebacks', 'fault-recursion-putback', 'fault-recursion-worker', 'flush-writeback'],
  ...['swapoff-slot-0', 'swapoff-keep', 'late-trim'],
];

/**
 * The rule of the plain run: the usual combination of each entry protocol everywhere; one that differs from it in one choice,
 * be it a protocol or a switch, everywhere if it holds, and if it is broken wherever something is to be found. That a broken
 * choice does no harm in some scenario is nothing to rely on; all 219 everywhere are for --long. The dearest scenarios have
 * the usual ones and what is found alone.
 */
function isPlain(combination: Combination, scenario: string): boolean {
  const usual = USUAL[combination.entry];
  const keys = new Set([...Object.keys(usual), ...Object.keys(combination)]) as Set<keyof Combination>;
  const choices = [...keys].filter((key) => settingOf(usual, key) !== settingOf(combination, key)).length;
  const holds = broken(combination).length === 0 && !DEAREST.includes(scenario);
  return choices === 0 || (choices === 1 && (holds || verdictOf(combination, scenario) !== 'clean'));
}

/** A switch that is not named has its default, and so has the way that trees are indexed. */
function settingOf(combination: Combination, key: keyof Combination): unknown {
  return combination[key] ?? DEFAULT_SWITCHES[key as SwitchName];
}

/** `plain`: what a plain run explores, if not by its rule. */
export async function checkGroup(t: Test, scenarios: readonly string[], plain = isPlain): Promise<void> {
  await withEngine(async (engine) => {
    for (const scenario of scenarios) {
      const combinations = allCombinations().filter((one) => LONG || plain(one, scenario));
      await t.test(scenario, (t) => checkScenario(t, engine, scenario, combinations));
    }
  });
}

async function checkScenario(
  t: Test,
  engine: Engine,
  scenario: string,
  combinations: readonly Combination[],
): Promise<void> {
  const explored = await exploreCells(engine, { scenario, bound: BOUND, schedulesMax: SCHEDULES_MAX, combinations });
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
  t.comment(`${explored.length} cells, ${schedules} schedules with at most ${BOUND} preemptions`);
  const own = new Set(explored.map(({ combination }) => formatCombination(combination)));
  const shared = combinations.map(formatCombination).filter((name) => !own.has(name));
  if (shared.length > 0) await checkShared(t, engine, scenario, shared);
}

/** The switches that a cell's runs did not look at change nothing. */
async function checkShared(t: Test, engine: Engine, scenario: string, shared: readonly string[]): Promise<void> {
  let seed = 20_240_131;
  const pick = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  for (let n = 0; n < SAMPLE; n++) {
    const name = shared[pick(shared.length)];
    const { failure } = await exploreCell(engine, scenario, name, { first: true });
    t.equal(kindOf(failure), expectedVerdict(name, scenario), `${scenario} under ${name}, explored on its own`);
  }
}
