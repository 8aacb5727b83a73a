/** A part of the verdict matrix, small enough for a test file of its own: explored and compared with what is expected. */
import type { Test } from 'tap';
import { cellFor, exploreMatrix } from '#src/explore/matrix.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { allCombinations, USUAL } from '#src/protocols/combinations.js';
import { type Combination, DEFAULT_SWITCHES, type SwitchName } from '#src/protocols/index.js';
import { TAKES_THREE } from '#src/scripts/pages/expected_matrix.js';
import { expectedVerdict } from '#src/scripts/pages/verdicts.js';
import { exploreCell, JOB, kindOf, withEngine } from './cells.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const BOUND = Number(process.env.ZSWAPD_BOUND ?? 2);
const SCHEDULES_MAX = 20_000_000;
/** Combinations that share a cell with another, per group, which are explored again on their own. */
const SAMPLE = 8;
const SAMPLE_OF_ONE = 2;

/**
 * The rule of the plain run: a combination that differs from the usual one of its entry protocol in one choice at most, be it
 * a protocol or a switch. So each choice is explored, and each with what it is used with; all 219 are for --long.
 */
function isPlain(combination: Combination): boolean {
  const usual = USUAL[combination.entry];
  const keys = new Set([...Object.keys(usual), ...Object.keys(combination)]) as Set<keyof Combination>;
  return [...keys].filter((key) => settingOf(usual, key) !== settingOf(combination, key)).length <= 1;
}

/** A switch that is not named has its default, and so has the way that trees are indexed. */
function settingOf(combination: Combination, key: keyof Combination): unknown {
  return combination[key] ?? DEFAULT_SWITCHES[key as SwitchName];
}

export async function checkGroup(t: Test, scenarios: readonly string[], entries?: readonly string[]): Promise<void> {
  const combinations = allCombinations().filter(
    (one) => (entries?.includes(one.entry) ?? true) && (LONG || isPlain(one)),
  );
  const { explored } = await exploreMatrix({
    bound: BOUND,
    explorers: 1,
    processor: JOB,
    schedulesMax: SCHEDULES_MAX,
    scenarios,
    combinations,
  });
  const cut = explored.filter(({ complete }) => !complete);
  t.same(cut, [], 'every schedule within the bound was tried');
  const unexpected: string[] = [];
  for (const combination of combinations) {
    const name = formatCombination(combination);
    for (const scenario of scenarios) {
      const verdict = cellFor(explored, scenario, combination)?.verdict ?? 'not explored';
      const expected = expectedVerdict(name, scenario);
      // With more preemptions the first finding of a broken cell may be of another kind, but what is clean stays clean.
      const clean = expected === 'clean' && !(BOUND > 2 && TAKES_THREE[name]?.includes(scenario));
      const same = BOUND > 2 ? (verdict === 'clean') === clean : verdict === expected;
      if (!same) unexpected.push(`${scenario} under ${name}: ${verdict}, not ${expected}`);
    }
  }
  t.same(unexpected, [], 'verdicts are as expected');
  const schedules = explored.reduce((sum, one) => sum + one.schedules, 0);
  t.comment(`${explored.length} cells, ${schedules} schedules with at most ${BOUND} preemptions`);
  await checkShared(t, scenarios, combinations);
}

/** The switches that a cell's runs did not look at change nothing. */
async function checkShared(
  t: Test,
  scenarios: readonly string[],
  combinations: ReturnType<typeof allCombinations>,
): Promise<void> {
  let seed = 20_240_131;
  const pick = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  await withEngine(async (engine) => {
    for (let n = 0; n < (scenarios.length === 1 ? SAMPLE_OF_ONE : SAMPLE); n++) {
      const scenario = scenarios[pick(scenarios.length)];
      const name = formatCombination(combinations[pick(combinations.length)]);
      const { failure } = await exploreCell(engine, scenario, name, { first: true });
      t.equal(kindOf(failure), expectedVerdict(name, scenario), `${scenario} under ${name}, explored on its own`);
    }
  });
}
