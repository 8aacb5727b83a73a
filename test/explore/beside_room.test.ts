// Scenarios beside the matrix: entries, records and buffers run out, objects are moved.
import t from 'tap';
import { ROOM_SCENARIOS } from '#src/explore/scenarios/scenarios_room.js';
import { checkBeside, SERVED } from './beside_group.ts';

await checkBeside(t, ROOM_SCENARIOS, SERVED);
