// Canaries: the explorer must find each mutant of a safe protocol, or its "clean" means nothing.
//
// A schedule that fails with the mutant and passes without it is proof that it is noticed, and takes one run. The plain run
// tries the one that a search has found (mutants/replays.json), and searches where that is none any more, as it does when code
// has changed since. With ZSWAPD_LONG=1 all are searched, with ZSWAPD_WRITE_CANARIES=1 and written down.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { PLAIN_RUN } from '#src/explore/run.js';
import { BESIDE_MATRIX } from '#src/explore/scenarios/scenarios_beside.js';
import { exhaustive } from '#src/explore/schedule/exhaustive.js';
import { formatCombination, formatReplay, parseReplay } from '#src/explore/schedule/replay_string.js';
import { USUAL } from '#src/protocols/combinations.js';
import { DEFAULT_COMBINATION } from '#src/protocols/presets.js';
import { scenarioNamed } from '#src/scripts/pages/scenarios.js';
import { expectedVerdict } from '#src/scripts/pages/verdicts.js';
import type { Mutant } from '../protocols/mutants/mutant.ts';
import { MUTANTS } from '../protocols/mutants/table.ts';
import { JOB } from './cells.ts';
import { endThreads } from './kept_threads.ts';
import { DIST, mutatedCopy } from './mutated_copy.ts';

/** Beside the mutants. */
const REPLAYS = fileURLToPath(new URL('../../../test/protocols/mutants/replays.json', import.meta.url));
const SERVED = formatCombination(USUAL[DEFAULT_COMBINATION.entry]);

interface Found {
  readonly text: string;
  readonly replay: string;
}

type ExplorerEngine = import('#src/explore/engine.js').Engine;

/** An engine of what is compiled in `root`, for the scenarios of as many exports. */
async function engineOf(root: URL, exports?: number): Promise<ExplorerEngine> {
  const { Engine } = (await import(new URL('explore/engine.js', root).href)) as typeof import('#src/explore/engine.js');
  return Engine.create(JOB, exports);
}

/** Those of the code as it is start once: it is entered for many cells. */
const asItIs = new Map<number | undefined, Promise<ExplorerEngine>>();

function engineAsItIs(exports?: number): Promise<ExplorerEngine> {
  const engine = asItIs.get(exports) ?? engineOf(DIST, exports);
  asItIs.set(exports, engine);
  return engine;
}

/** What a replay string of the cell that must notice begins with. */
const cellOf = ({ scenario, combination }: Mutant): string => `zx1:${scenario}:${combination}:`;

/** What comes of the scenario that must notice the mutant: in the schedule of `replay`, or in a search for any that fails. */
async function finding(engine: ExplorerEngine, mutant: Mutant, replay?: string): Promise<Found | undefined> {
  const { scenario: name, bound = 2 } = mutant;
  const { combination, schedule } = parseReplay(replay ?? cellOf(mutant));
  await engine.enter({ scenario: scenarioNamed(name), combination });
  const failure =
    replay === undefined
      ? exhaustive(engine, { bound, schedulesMax: 50_000, seed: 1, all: false, first: true }).failure
      : engine.run({ ...PLAIN_RUN, schedule });
  if (failure === null || failure.finding === null) return undefined;
  const made = formatReplay({ scenario: name, combination, schedule: failure.schedule });
  return { text: failure.finding.text, replay: made };
}

/** What a plain run explores elsewhere is found clean there: the matrix, and what stands beside it under what is served. */
function isExplored({ scenario, combination, bound }: Mutant): boolean {
  if (bound !== undefined) return false;
  const beside = combination === SERVED && BESIDE_MATRIX.some(({ name }) => name === scenario);
  return beside || expectedVerdict(combination, scenario) === 'clean';
}

/** Whether the schedule that is written down tells the mutant from the code as it is. */
async function isStillNoticed(t: Test, mutant: Mutant, mutated: ExplorerEngine, replay: string): Promise<boolean> {
  const found = await finding(mutated, mutant, replay);
  const { exports } = scenarioNamed(mutant.scenario);
  if (found === undefined || (await finding(await engineAsItIs(exports), mutant, replay)) !== undefined) return false;
  t.pass(`found where it was found before: ${found.text}`);
  return true;
}

// A search or two for each, on a processor that others may want as well.
t.setTimeout(MUTANTS.length * 60_000);

/** Part of a name: only those. */
const ONLY = process.env.ZSWAPD_CANARY ?? '';
const WRITES = process.env.ZSWAPD_WRITE_CANARIES === '1';
const SEARCHES = WRITES || process.env.ZSWAPD_LONG === '1';

const WANTED = MUTANTS.filter(({ name }) => name.includes(ONLY));
if (WANTED.length === 0) t.fail(`no canary has ${JSON.stringify(ONLY)} in its name`);

const replays: Record<string, string> = JSON.parse(readFileSync(REPLAYS, 'utf8'));

WANTED.forEach((mutant, number) => {
  t.test(mutant.name, async (t) => {
    const copy = mutatedCopy(mutant, number);
    t.teardown(() => rmSync(fileURLToPath(copy), { recursive: true }));
    const { exports } = scenarioNamed(mutant.scenario);
    const mutated = await engineOf(copy, exports);
    t.teardown(() => mutated.close());
    const before = replays[mutant.name];
    if (!SEARCHES && before?.startsWith(cellOf(mutant)) && (await isStillNoticed(t, mutant, mutated, before))) return;
    if (!SEARCHES) t.comment(`searched, because ${before === undefined ? 'no' : 'another'} schedule is written down`);
    if (!isExplored(mutant)) t.equal(await finding(await engineAsItIs(exports), mutant), undefined, 'clean as it is');
    const found = await finding(mutated, mutant);
    t.ok(found, `found: ${found?.text}`);
    if (found !== undefined) replays[mutant.name] = found.replay;
  });
});

t.teardown(async () => {
  for (const engine of asItIs.values()) await (await engine).close();
  await endThreads();
  if (!WRITES) return;
  const now = MUTANTS.flatMap(({ name }) => (name in replays ? [[name, replays[name]]] : []));
  writeFileSync(REPLAYS, `${JSON.stringify(Object.fromEntries(now), null, 2)}\n`);
});
