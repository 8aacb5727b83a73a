/** One cell explored, for tests. */
import { Engine } from '#src/explore/engine.js';
import type { Outcome } from '#src/explore/run.js';
import { exhaustive } from '#src/explore/schedule/exhaustive.js';
import { parseReplay } from '#src/explore/schedule/replay_string.js';
import type { SearchOptions, SearchResult, Strategy } from '#src/explore/schedule/strategies.js';
import { scenarioNamed } from '#src/scripts/pages/scenarios.js';

/** Test files run side by side, and each keeps its explorer to a processor of its own. */
export const JOB = Number(process.env.ZSWAPD_TEST_JOB ?? 0);

export async function withEngine<T>(use: (engine: Engine) => Promise<T>, exports = 1): Promise<T> {
  const engine = Engine.create(JOB, exports);
  try {
    return await use(engine);
  } finally {
    await engine.close();
  }
}

/** `combination` as in a replay string. */
export async function enter(engine: Engine, scenario: string, combination: string): Promise<void> {
  const { combination: chosen } = parseReplay(`zx1:${scenario}:${combination}:`);
  await engine.enter({ scenario: scenarioNamed(scenario), combination: chosen });
}

export async function exploreCell(
  engine: Engine,
  scenario: string,
  combination: string,
  options: Partial<SearchOptions> = {},
  strategy: Strategy = exhaustive,
): Promise<SearchResult> {
  await enter(engine, scenario, combination);
  return strategy(engine, { bound: 2, schedulesMax: 100_000, seed: 1, all: false, first: false, ...options });
}

export function kindOf(failure: Outcome | null): string {
  return failure?.finding?.kind ?? 'clean';
}
