// Scenarios beside the matrix: a memcg goes offline. Each entry protocol has its own way to take a page off a list.
import t from 'tap';
import { MEMCG_SCENARIOS } from '#src/explore/scenarios/scenarios_memcgs.js';
import { checkBeside, SAFE } from './beside_group.ts';

await checkBeside(t, MEMCG_SCENARIOS, SAFE);
