// `zswapd explore`: what was asked, checked before anything starts, then the search and its report.
// Invariant: a mistake in the arguments is one line and exit 2; what the search finds is no error of the command.
import { availableParallelism } from 'node:os';
import { loadConfigText } from '../config/load.ts';
import { parseOverride } from '../config/overrides.ts';
import type { Cell } from '../explore/cell.ts';
import { Engine } from '../explore/engine.ts';
import { exploreMatrix, type Matrix, type MatrixProgress } from '../explore/matrix.ts';
import { formatTrace, traceOf } from '../explore/report.ts';
import type { Scenario } from '../explore/scenarios/scenario.ts';
import { findScenario, SCENARIOS } from '../explore/scenarios/scenarios.ts';
import { PAGE_SCENARIOS } from '../explore/scenarios/scenarios_pages.ts';
import { exhaustive } from '../explore/schedule/exhaustive.ts';
import { pct } from '../explore/schedule/pct.ts';
import { randomWalk } from '../explore/schedule/random_walk.ts';
import { formatCombination, parseReplay } from '../explore/schedule/replay_string.ts';
import type { SearchOptions, Strategy } from '../explore/schedule/strategies.ts';
import { minimise, record } from '../explore/search/minimise.ts';
import { misfit } from '../explore/search/misfit.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { meaningless } from '../protocols/combinations.ts';
import type { Combination } from '../protocols/index.ts';
import { formatMatrix, withReplays } from './explore_matrix.ts';
import { print } from './print.ts';

export interface ExploreFlags {
  scenario?: string;
  set: string[];
  strategy: string;
  bound: string;
  seed: string;
  schedules: string;
  replay?: string;
  matrix?: boolean;
  json?: boolean;
}

const STRATEGIES: Readonly<Record<string, Strategy>> = { dfs: exhaustive, pct, random: randomWalk };
/** Beyond this, schedules are more than anybody waits for. */
const BOUND_MAX = 5;
const PROGRESS_MS = 2000;

/** Resolves to the exit code: 0, or 1 when a single scenario was found to fail. */
export async function explore(flags: ExploreFlags): Promise<number> {
  const strategy = Object.hasOwn(STRATEGIES, flags.strategy) ? STRATEGIES[flags.strategy] : undefined;
  if (strategy === undefined)
    throw usage(`--strategy: "${flags.strategy}", allowed: ${Object.keys(STRATEGIES).join(', ')}`);
  const options = {
    bound: integer('--bound', flags.bound, 0, BOUND_MAX),
    schedulesMax: integer('--schedules', flags.schedules, 1, 100_000_000),
    seed: integer('--seed', flags.seed, 0, 2 ** 31 - 1),
    all: false,
    first: false,
  };
  if (flags.replay !== undefined) return replay(flags, flags.replay);
  const combination = combinationOf(flags.set);
  if (flags.matrix === true) return matrix(flags, options);
  const scenarios = chosenScenarios(flags.scenario);
  if (flags.scenario === undefined && combination.lru === 'allocator') scenarios.push(...PAGE_SCENARIOS);
  const cells = scenarios.map((scenario): Cell => ({ scenario, combination }));
  if (flags.scenario !== undefined) refuseMisfit(cells[0], '--scenario');
  return search(flags, strategy, options, cells);
}

async function replay(flags: ExploreFlags, text: string): Promise<number> {
  let parsed: ReturnType<typeof parseReplay>;
  try {
    parsed = parseReplay(text);
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error));
  }
  const [scenario] = chosenScenarios(parsed.scenario, '--replay');
  const cell = { scenario, combination: checked(parsed.combination) };
  refuseMisfit(cell, '--replay');
  const engine = Engine.create(process.pid, scenario.exports);
  try {
    await engine.enter(cell);
    const outcome = record(engine, parsed.schedule);
    if (outcome.diverged) throw usage('--replay: the schedule does not fit this scenario as it is built now');
    await show(flags, cell, outcome.finding === null ? null : outcome, 1, true);
    return outcome.finding === null ? EXIT.ok : EXIT.failed;
  } finally {
    await engine.close();
  }
}

async function search(flags: ExploreFlags, strategy: Strategy, options: SearchOptions, cells: Cell[]): Promise<number> {
  // Those of the matrix have one export, and any other is alone.
  const engine = Engine.create(process.pid, cells[0].scenario.exports);
  let failed = false;
  try {
    for (const cell of cells) {
      const reason = misfitOf(cell);
      if (reason !== null) {
        process.stderr.write(`left out: ${reason}\n`);
        continue;
      }
      await engine.enter(cell);
      const { schedules, failure, complete } = strategy(engine, { ...options, onProgress: progress(cell) });
      const shown = failure === null ? null : minimise(engine, failure);
      failed ||= shown !== null;
      await show(flags, cell, shown, schedules, complete);
    }
  } finally {
    await engine.close();
  }
  return failed ? EXIT.failed : EXIT.ok;
}

async function show(
  flags: ExploreFlags,
  cell: Cell,
  outcome: Parameters<typeof traceOf>[1] | null,
  schedules: number,
  complete: boolean,
): Promise<void> {
  const trace = outcome === null ? null : traceOf(cell, outcome);
  const { name: scenario, about } = cell.scenario;
  const combination = formatCombination(cell.combination);
  if (flags.json === true) {
    const verdict = trace?.finding.kind ?? 'clean';
    await print(`${JSON.stringify({ scenario, combination, verdict, schedules, complete, trace })}\n`);
    return;
  }
  const tried = `${schedules} schedule${schedules === 1 ? '' : 's'}${complete ? '' : ', not all there are'}`;
  const head = `${scenario} (${about}) under ${combination}: ${tried}`;
  await print(trace === null ? `${head}: clean\n` : `${head}\n\n${formatTrace(trace)}\n`);
}

async function matrix(flags: ExploreFlags, { bound, schedulesMax }: SearchOptions): Promise<number> {
  const scenarios =
    flags.scenario === undefined ? {} : { scenarios: chosenScenarios(flags.scenario).map((s) => s.name) };
  const started = performance.now();
  let last: Readonly<MatrixProgress> = { cells: 0, done: 0, scenarios: 0, schedules: 0 };
  const report = (): void => {
    const seconds = Math.round((performance.now() - started) / 1000);
    const done = `${last.cells} cells and ${last.done} of ${last.scenarios} scenarios explored`;
    process.stderr.write(`${done}, ${last.schedules} schedules, ${seconds} s\n`);
  };
  const timer = setInterval(report, PROGRESS_MS);
  const explorers = availableParallelism();
  const onProgress = (progress: Readonly<MatrixProgress>): void => {
    last = progress;
  };
  let found: Matrix;
  try {
    found = await exploreMatrix({ bound, schedulesMax, explorers, ...scenarios, onProgress });
  } finally {
    clearInterval(timer);
  }
  report();
  const shown = withReplays(found);
  await print(flags.json === true ? `${JSON.stringify(shown)}\n` : formatMatrix(shown));
  return EXIT.ok;
}

/** A line now and then on stderr, where a search takes long. */
function progress(cell: Cell): (schedules: number, bound: number) => void {
  let last = performance.now();
  return (schedules, bound) => {
    if (performance.now() - last < PROGRESS_MS) return;
    last = performance.now();
    process.stderr.write(`${cell.scenario.name}: ${schedules} schedules, at ${bound} preemptions\n`);
  };
}

function chosenScenarios(name: string | undefined, flag = '--scenario'): Scenario[] {
  if (name === undefined) return [...SCENARIOS];
  const scenario = findScenario(name);
  if (scenario === undefined) {
    throw usage(`${flag}: there is no scenario "${name}", allowed: ${SCENARIOS.map((one) => one.name).join(', ')}`);
  }
  return [scenario];
}

function misfitOf({ scenario, combination }: Cell): string | null {
  return misfit(scenario.name, combination);
}

function refuseMisfit(cell: Cell, flag: string): void {
  const reason = misfitOf(cell);
  if (reason !== null) throw usage(`${flag}: ${reason}`);
}

/** From `protocol.KEY=VALUE` settings, read and refused as the server's are; but what is broken may be explored. */
function combinationOf(settings: readonly string[]): Combination {
  const other = settings.find((setting) => parseOverride(setting, () => false).path[0] !== 'protocol');
  if (other !== undefined) throw usage(`--set: "${other}", allowed here: protocol.KEY=VALUE`);
  // A scenario says itself which allocator it is about, and this one goes with everything.
  const text = '{ "unsafe": true, "pool": { "allocator": "zbud" } }';
  const { preset: _said, ...combination } = loadConfigText('explore', text, { set: settings }).config.protocol;
  return combination;
}

function checked(combination: Combination): Combination {
  const [objection] = meaningless(combination);
  if (objection !== undefined) throw usage(`protocol.${objection.key}: ${objection.text}`);
  return combination;
}

function integer(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw usage(`${flag}: "${text}", allowed: a whole number from ${least} to ${most}`);
  }
  return value;
}

function usage(text: string): ExitError {
  return new ExitError(EXIT.usage, text);
}
