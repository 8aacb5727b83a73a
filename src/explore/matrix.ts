/**
 * The matrix: every combination of protocols and switches against every scenario, found or clean up to the bound.
 *
 * Each scenario is one task for one explorer, which is a process with actors of its own; as many explorers run side by side
 * as there are cores (as threads they would wait for each other, because all waits of a process go through one lock of the
 * runtime). Within a scenario a cell is explored once per distinct set of values that its runs looked at.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { allCombinations } from '../protocols/combinations.ts';
import type { Combination } from '../protocols/index.ts';
import { SCENARIOS } from './scenarios/scenarios.ts';
import { formatCombination } from './schedule/replay_string.ts';
import { signature } from './search/dimensions.ts';

/** One exploration, and what it looked at. */
export interface Explored {
  readonly scenario: string;
  readonly combination: Combination;
  /** Bits of DIMENSIONS. */
  readonly looked: number;
  /** `clean`, or the kind of what was found. */
  readonly verdict: string;
  readonly text: string;
  readonly preemptions: number;
  readonly steps: number;
  readonly schedules: number;
  readonly replay: string;
  /** All schedules up to the bound were tried, or something was found. */
  readonly complete: boolean;
}

export interface Matrix {
  readonly bound: number;
  readonly explored: readonly Explored[];
}

/** How far a matrix has come. */
export interface MatrixProgress {
  /** Cells explored to their end. */
  cells: number;
  /** Scenarios of which every cell is explored, and all that were asked for. */
  done: number;
  readonly scenarios: number;
  /** Tried so far, in cells that are not at their end too. */
  schedules: number;
}

/** What an explorer is given. */
export interface Task {
  readonly scenario: string;
  readonly bound: number;
  readonly schedulesMax: number;
  readonly combinations: readonly Combination[];
  readonly processor: number;
}

/** What an explorer says: a cell that is done, or how many schedules it has tried in the one at hand. */
export type FromExplorer = Explored | number;

interface MatrixOptions {
  readonly bound: number;
  readonly explorers: number;
  readonly schedulesMax: number;
  readonly scenarios?: readonly string[];
  /** Processor of the first explorer, counted from 0; each further one has the next (see Engine.create). */
  readonly processor?: number;
  /** Without it, all. */
  readonly combinations?: readonly Combination[];
  /** Called at the begin, and then often: for each cell, and in between. */
  readonly onProgress?: (progress: Readonly<MatrixProgress>) => void;
}

/** The cell that stands for this combination, or undefined. */
export function cellFor(
  explored: readonly Explored[],
  scenario: string,
  combination: Combination,
): Explored | undefined {
  return explored.find(
    (one) => one.scenario === scenario && signature(one.combination, one.looked) === signature(combination, one.looked),
  );
}

/** The longest ones first, so that no explorer ends long after the others. */
const LONG = [
  'two-writebacks',
  'recycled-slot',
  'fault-recursion-putback',
  'late-trim',
  'fault-recursion-worker',
  'swapoff-write',
];

export async function exploreMatrix(options: MatrixOptions): Promise<Matrix> {
  const names = SCENARIOS.map(({ name }) => name).filter((name) => options.scenarios?.includes(name) ?? true);
  names.sort((a, b) => rank(a) - rank(b));
  const explored: Explored[] = [];
  const progress: MatrixProgress = { cells: 0, done: 0, scenarios: names.length, schedules: 0 };
  options.onProgress?.(progress);
  const explorer = async (processor: number): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      explored.push(...(await exploreScenario(name, options, processor, progress)));
      progress.done++;
      options.onProgress?.(progress);
    }
  };
  const { explorers, processor: first = 0 } = options;
  await Promise.all(Array.from({ length: explorers }, (_, i) => explorer(first + i)));
  return { bound: options.bound, explored: explored.sort((a, b) => order(a) - order(b)) };
}

function rank(name: string): number {
  const at = LONG.indexOf(name);
  return at < 0 ? LONG.length : at;
}

function order({ scenario }: Explored): number {
  return SCENARIOS.findIndex(({ name }) => name === scenario);
}

function exploreScenario(
  scenario: string,
  { bound, schedulesMax, combinations = allCombinations(), onProgress }: MatrixOptions,
  processor: number,
  progress: MatrixProgress,
): Promise<Explored[]> {
  const task: Task = { scenario, bound, schedulesMax, combinations, processor };
  const explorer = fork(fileURLToPath(new URL('./matrix_process.js', import.meta.url)), [JSON.stringify(task)]);
  return new Promise((resolve, reject) => {
    const explored: Explored[] = [];
    /** Schedules of the cell at hand that are in `progress` by now. */
    let counted = 0;
    explorer.on('message', (message: FromExplorer) => {
      const schedules = typeof message === 'number' ? message : message.schedules;
      progress.schedules += schedules - counted;
      counted = schedules;
      if (typeof message !== 'number') {
        explored.push(message);
        progress.cells++;
        counted = 0;
      }
      onProgress?.(progress);
    });
    explorer.once('error', reject);
    explorer.once('close', (code, signal) => {
      if (code !== 0) reject(new Error(`the explorer of ${scenario} ended with ${signal ?? `code ${code}`}`));
      else resolve(explored);
    });
  });
}

interface MatrixRow {
  readonly combination: string;
  /** Verdict by scenario. */
  readonly verdicts: Readonly<Record<string, string>>;
}

/** Every combination with the verdict of each scenario that was explored. */
export function matrixRows({ explored }: Matrix): MatrixRow[] {
  const scenarios = [...new Set(explored.map(({ scenario }) => scenario))];
  return allCombinations().map((combination) => ({
    combination: formatCombination(combination),
    verdicts: Object.fromEntries(
      scenarios.map((scenario) => [scenario, cellFor(explored, scenario, combination)?.verdict ?? '?']),
    ),
  }));
}
