// Scenarios beside the matrix: writeback of what somebody named. Each entry protocol takes such a victim by its own steps.
import t from 'tap';
import { DEMAND_SCENARIOS } from '#src/explore/scenarios/scenarios_demand.js';
import { checkBeside, SAFE } from './beside_group.ts';

await checkBeside(t, DEMAND_SCENARIOS, SAFE);
