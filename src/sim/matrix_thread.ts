/** Entry point of an explorer of the matrix: one scenario under every combination. */
import { parentPort, workerData } from 'node:worker_threads';
import { allCombinations } from './combinations.ts';
import { Engine } from './engine.ts';
import { exhaustive } from './exhaustive.ts';
import { cellFor, type Explored, type FromExplorer } from './matrix.ts';
import { formatReplay } from './replay_string.ts';
import { findScenario } from './scenarios.ts';

interface Task {
  readonly scenario: string;
  readonly bound: number;
  readonly schedulesMax: number;
  readonly entries: readonly string[] | null;
}

const { scenario: name, bound, schedulesMax, entries } = workerData as Task;
const scenario = findScenario(name);
if (scenario === undefined) throw new Error(`there is no scenario ${name}`);

const post = (message: FromExplorer): void => parentPort?.postMessage(message);
const engine = await Engine.create();
const explored: Explored[] = [];
for (const combination of allCombinations()) {
  if (entries !== null && !entries.includes(combination.entry)) continue;
  if (cellFor(explored, name, combination) !== undefined) continue;
  await engine.enter({ scenario, combination });
  const { schedules, failure, complete } = exhaustive(engine, {
    bound,
    schedulesMax,
    seed: 1,
    all: false,
    first: true,
    onProgress: post,
  });
  const cell: Explored = {
    scenario: name,
    combination,
    looked: engine.consulted,
    verdict: failure?.finding?.kind ?? 'clean',
    text: failure?.finding?.text ?? '',
    preemptions: failure?.preemptions ?? 0,
    steps: failure?.steps ?? 0,
    schedules,
    replay: failure === null ? '' : formatReplay({ scenario: name, combination, schedule: failure.schedule }),
    complete,
  };
  explored.push(cell);
  post(cell);
}
await engine.close();
