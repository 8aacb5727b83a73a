// What no choice of protocols changes, explored under the usual choices: drains of a stop, what a kill may leave after a
// FLUSH, the limit of a memcg.
import t from 'tap';
import { BESIDE_MATRIX } from '#src/explore/scenarios/scenarios_beside.js';
import { EXPORT_SCENARIOS } from '#src/explore/scenarios/scenarios_exports.js';
import { FAULT_SCENARIOS } from '#src/explore/scenarios/scenarios_faults.js';
import { MEMCG_SCENARIOS } from '#src/explore/scenarios/scenarios_memcgs.js';
import { REQUEST_SCENARIOS } from '#src/explore/scenarios/scenarios_requests.js';
import { ROOM_SCENARIOS } from '#src/explore/scenarios/scenarios_room.js';
import { checkBeside, SAFE } from './beside_group.ts';

const OTHERS = [...FAULT_SCENARIOS, ...REQUEST_SCENARIOS, ...ROOM_SCENARIOS, ...EXPORT_SCENARIOS, ...MEMCG_SCENARIOS];

await checkBeside(
  t,
  BESIDE_MATRIX.filter((one) => !OTHERS.includes(one)),
  SAFE,
);
