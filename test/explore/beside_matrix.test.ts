// What no choice of protocols changes, explored under the usual choices: drains of a stop, what a kill may leave after a
// FLUSH, the limit of a memcg. The groups have a file each.
import t from 'tap';
import { UNGROUPED } from '#src/explore/scenarios/scenarios_beside.js';
import { checkBeside, SAFE } from './beside_group.ts';

await checkBeside(t, UNGROUPED, SAFE);
