// Scenarios beside the matrix: a page changes its owner, because an agent in the guest says whose it is.
import t from 'tap';
import { AGENT_SCENARIOS } from '#src/explore/scenarios/scenarios_agents.js';
import { checkBeside, SAFE } from './beside_group.ts';

await checkBeside(t, AGENT_SCENARIOS, SAFE);
