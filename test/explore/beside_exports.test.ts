// Scenarios beside the matrix: two exports on one pool, each with its memcg.
import t from 'tap';
import { EXPORT_SCENARIOS } from '#src/explore/scenarios/scenarios_exports.js';
import { checkBeside, SERVED } from './beside_group.ts';

await checkBeside(t, EXPORT_SCENARIOS, SERVED);
