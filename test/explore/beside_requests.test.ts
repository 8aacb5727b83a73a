// Scenarios beside the matrix: several slots, parts, WRITE_ZEROES, connections that end in the middle.
import t from 'tap';
import { REQUEST_SCENARIOS } from '#src/explore/scenarios/scenarios_requests.js';
import { checkBeside, SERVED } from './beside_group.ts';

await checkBeside(t, REQUEST_SCENARIOS, SERVED);
