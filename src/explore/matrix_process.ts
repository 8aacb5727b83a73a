/** Entry point of an explorer of the matrix: one scenario under every combination. Its argument is a Task as JSON. */
import { Engine } from './engine.ts';
import type { FromExplorer, Task } from './matrix.ts';
import { exploreCells } from './matrix_cells.ts';

const { processor, ...task } = JSON.parse(process.argv[2]) as Task;

// Nobody wants the result any more.
const abandoned = (): never => process.exit(1);
const post = (message: FromExplorer): void => {
  process.send?.(message, undefined, undefined, (error) => {
    if (error !== null) abandoned();
  });
};
process.once('disconnect', abandoned);
const engine = Engine.create(processor);
await exploreCells(engine, task, post);
await engine.close();
process.off('disconnect', abandoned);
process.disconnect();
