// Scenarios beside the matrix: checksums, and the scrub.
import t from 'tap';
import { SUM_SCENARIOS } from '#src/explore/scenarios/scenarios_sums.js';
import { checkBeside, SERVED } from './beside_group.ts';

await checkBeside(t, SUM_SCENARIOS, SERVED);
