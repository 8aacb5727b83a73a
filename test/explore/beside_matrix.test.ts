// What no choice of protocols changes, explored under the usual choice of each entry protocol that holds: drains of a stop,
// what a kill may leave after a FLUSH, the limit of a memcg.
import t from 'tap';
import { BESIDE_MATRIX } from '#src/explore/scenarios/scenarios_beside.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { broken, USUAL } from '#src/protocols/combinations.js';
import { exploreCell, kindOf, withEngine } from './cells.ts';

const COMBINATIONS = Object.values(USUAL)
  .filter((one) => broken(one).length === 0)
  .map(formatCombination);

t.test('clean', async (t) => {
  await withEngine(async (engine) => {
    for (const { name } of BESIDE_MATRIX) {
      for (const combination of COMBINATIONS) {
        const { failure, complete, schedules } = await exploreCell(engine, name, combination);
        t.equal(kindOf(failure), 'clean', `${name} under ${combination}: ${failure?.finding?.text}`);
        t.ok(complete, `every schedule with at most 2 preemptions: ${schedules}`);
      }
    }
  });
});
