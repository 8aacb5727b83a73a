/** Entry point of an explorer of the matrix: one scenario under every combination. Its argument is a Task as JSON. */
import { setImmediate as turn } from 'node:timers/promises';
import { Engine } from './engine.ts';
import { cellFor, type Explored, type FromExplorer, type Task } from './matrix.ts';
import { findScenario } from './scenarios/scenarios.ts';
import { exhaustive } from './schedule/exhaustive.ts';
import { formatReplay } from './schedule/replay_string.ts';

const { scenario: name, bound, schedulesMax, combinations, processor } = JSON.parse(process.argv[2]) as Task;
const scenario = findScenario(name);
if (scenario === undefined) throw new Error(`there is no scenario ${name}`);

// Nobody wants the result any more.
const abandoned = (): never => process.exit(1);
const post = (message: FromExplorer): void => {
  process.send?.(message, undefined, undefined, (error) => {
    if (error !== null) abandoned();
  });
};
process.once('disconnect', abandoned);
const engine = Engine.create(processor);
const explored: Explored[] = [];
for (const combination of combinations) {
  if (cellFor(explored, name, combination) !== undefined) continue;
  // Messages go out and the end of the parent is seen between two cells.
  await turn();
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
process.off('disconnect', abandoned);
process.disconnect();
