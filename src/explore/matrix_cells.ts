/** The cells of one scenario, explored by an engine under one combination after another. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Engine } from './engine.ts';
import { cellFor, type Explored, type FromExplorer, type Task } from './matrix.ts';
import { findScenario } from './scenarios/scenarios.ts';
import { exhaustive } from './schedule/exhaustive.ts';
import { formatReplay } from './schedule/replay_string.ts';

/** `say` is told each cell that is done, and in between how many schedules were tried in the one at hand. */
export async function exploreCells(
  engine: Engine,
  { scenario: name, bound, schedulesMax, combinations }: Omit<Task, 'processor'>,
  say: (message: FromExplorer) => void = () => undefined,
): Promise<Explored[]> {
  const scenario = findScenario(name);
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  const explored: Explored[] = [];
  for (const combination of combinations) {
    if (cellFor(explored, name, combination) !== undefined) continue;
    // What was said goes out, and whoever asked may go away, between two cells.
    await turn();
    await engine.enter({ scenario, combination });
    const search = { bound, schedulesMax, seed: 1, all: false, first: true, onProgress: say };
    const { schedules, failure, complete } = exhaustive(engine, search);
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
    say(cell);
  }
  return explored;
}
