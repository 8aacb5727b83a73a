/** Scenarios beside the matrix: what they are about no choice of protocols changes. */
import { NBD_EIO } from 'node-nbd-server/device';
import { client, flush, pressure, read, type Scenario, stop, walker, write } from './scenario.ts';
import { AGENT_SCENARIOS } from './scenarios_agents.ts';
import { DEMAND_SCENARIOS } from './scenarios_demand.ts';
import { EXPORT_SCENARIOS } from './scenarios_exports.ts';
import { FAULT_SCENARIOS } from './scenarios_faults.ts';
import { MEMCG_SCENARIOS } from './scenarios_memcgs.ts';
import { REQUEST_SCENARIOS } from './scenarios_requests.ts';
import { ROOM_SCENARIOS } from './scenarios_room.ts';
import { SUM_SCENARIOS } from './scenarios_sums.ts';

const one = [{ slot: 1, version: 1 }];

/** A drain, beside all that may be under way when the last client has gone. */
const DRAINS: readonly Scenario[] = [
  {
    name: 'drain',
    about: 'the server stops while a page is being written back, read and overwritten',
    stored: one,
    actors: [pressure, client('client', 0, read(1), write(1, 2)), stop],
  },
  {
    name: 'drain-errors',
    about: 'as drain, of two pages, on an image that fails the first writes and tears what it has',
    stored: [...one, { slot: 2, version: 1 }],
    image: { failWrites: 2 },
    actors: [pressure, client('client', 0, write(1, 2)), stop],
  },
  {
    name: 'drain-rejected',
    about: 'as drain, and the store is rejected and goes to the image itself',
    stored: one,
    memcgMax: 1,
    image: { parallel: 2 },
    actors: [pressure, client('client', 0, write(1, 2)), stop],
  },
];

/** Those of no group. */
export const UNGROUPED: readonly Scenario[] = [
  {
    name: 'flush-parked',
    about: 'a page whose image write has failed is tried again after a newer one was flushed',
    stored: one,
    strict: true,
    image: { failWrites: 1 },
    errors: [NBD_EIO],
    actors: [walker(), client('store', 0, write(1, 2), flush(1))],
  },
  ...DRAINS,
  {
    name: 'limit-two-stores',
    about: 'two stores wait at the limit of their memcg, and one page can leave: there is room for one of them',
    stored: one,
    memcgMax: 1,
    memcgPages: 1,
    actors: [client('store 2', 0, write(2, 1)), client('store 3', 1, write(3, 1))],
  },
];

/** What no choice of protocols changes: explored by tests of its own, a file for each group, and not part of the matrix. */
export const BESIDE_MATRIX: readonly Scenario[] = [
  ...UNGROUPED,
  ...FAULT_SCENARIOS,
  ...REQUEST_SCENARIOS,
  ...ROOM_SCENARIOS,
  ...EXPORT_SCENARIOS,
  ...MEMCG_SCENARIOS,
  ...AGENT_SCENARIOS,
  ...DEMAND_SCENARIOS,
  ...SUM_SCENARIOS,
];
