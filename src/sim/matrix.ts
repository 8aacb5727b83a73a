/**
 * The matrix: every combination of protocols and switches against every scenario, found or clean up to the bound.
 *
 * Each scenario is one task for one explorer, which is a thread with actors of its own; as many explorers run side by side
 * as there are cores. Within a scenario a cell is explored once per distinct set of values that its runs looked at.
 */
import { Worker } from 'node:worker_threads';
import type { Combination } from './cell.ts';
import { allCombinations } from './combinations.ts';
import { signature } from './dimensions.ts';
import { formatCombination } from './replay_string.ts';
import { SCENARIOS } from './scenarios.ts';

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

export interface MatrixOptions {
  readonly bound: number;
  readonly explorers: number;
  readonly schedulesMax: number;
  readonly scenarios?: readonly string[];
  /** Entry protocols; without it, all. */
  readonly entries?: readonly string[];
  readonly onProgress?: (done: number, all: number, schedules: number) => void;
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
const LONG = ['two-writebacks', 'resend-trim', 'recycled-slot', 'fault-recursion-putback'];

export async function exploreMatrix(options: MatrixOptions): Promise<Matrix> {
  const names = SCENARIOS.map(({ name }) => name).filter((name) => options.scenarios?.includes(name) ?? true);
  names.sort((a, b) => rank(a) - rank(b));
  const explored: Explored[] = [];
  const all = names.length;
  let done = 0;
  const explorer = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      explored.push(...(await exploreScenario(name, options)));
      options.onProgress?.(
        ++done,
        all,
        explored.reduce((sum, one) => sum + one.schedules, 0),
      );
    }
  };
  await Promise.all(Array.from({ length: options.explorers }, explorer));
  return { bound: options.bound, explored: explored.sort((a, b) => order(a) - order(b)) };
}

function rank(name: string): number {
  const at = LONG.indexOf(name);
  return at < 0 ? LONG.length : at;
}

function order({ scenario }: Explored): number {
  return SCENARIOS.findIndex(({ name }) => name === scenario);
}

function exploreScenario(scenario: string, { bound, schedulesMax, entries }: MatrixOptions): Promise<Explored[]> {
  const workerData = { scenario, bound, schedulesMax, entries: entries ?? null };
  const worker = new Worker(new URL('./matrix_thread.js', import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    let result: Explored[] | null = null;
    worker.once('message', (message: Explored[]) => {
      result = message;
    });
    worker.once('error', reject);
    worker.once('exit', () => {
      if (result === null) reject(new Error(`the explorer of ${scenario} ended without a result`));
      else resolve(result);
    });
  });
}

export interface MatrixRow {
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
