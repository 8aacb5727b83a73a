/** The traces that a page shows, run again: milliseconds, where the search that has found them takes seconds. */
import type { Engine } from '#src/explore/engine.js';
import { formatCombination, parseReplay } from '#src/explore/schedule/replay_string.js';
import { record } from '#src/explore/search/minimise.js';
import type { Blamed } from './blame.ts';
import { KINDS } from './expected_matrix.ts';
import { scenarioNamed } from './scenarios.ts';
import { type Shortest, withoutLines } from './shortest.ts';

/**
 * By kind, in the order of the matrix's legend. Null if it takes a search: a kind that is to be shown is not, or a schedule
 * does not come to it in a cell where it is expected.
 */
export async function shownTraces(
  engine: Engine,
  page: string,
  blamed: readonly Blamed[],
): Promise<Map<string, Shortest> | null> {
  const shown = [...page.matchAll(/explore --replay '([^']*)'/g)].map(([, text]) => parseReplay(text));
  const kinds = Object.values(KINDS).filter((kind) => blamed.some((one) => one.kind === kind));
  if (shown.length !== kinds.length) return null;
  const traces = new Map<string, Shortest>();
  for (const [i, { scenario, combination, schedule }] of shown.entries()) {
    const isExpected = blamed.some(
      (one) =>
        one.kind === kinds[i] &&
        one.scenario === scenario &&
        formatCombination(one.combination) === formatCombination(combination),
    );
    if (!isExpected) return null;
    const cell = { scenario: scenarioNamed(scenario), combination };
    await engine.enter(cell);
    const outcome = record(engine, schedule);
    if (outcome.diverged || outcome.finding?.kind !== kinds[i]) return null;
    traces.set(kinds[i], { cell, trace: withoutLines(cell, outcome) });
  }
  return traces;
}
