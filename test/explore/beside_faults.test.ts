// Scenarios beside the matrix: an image that fails a call of each kind.
import t from 'tap';
import { FAULT_SCENARIOS } from '#src/explore/scenarios/scenarios_faults.js';
import { checkBeside, SERVED } from './beside_group.ts';

await checkBeside(t, FAULT_SCENARIOS, SERVED);
