/** Scenarios of pages that are written back because somebody named them: the victim is not what its list has first. */
import { client, offline, read, type Scenario, storer, trim, walker, write, writeBack } from './scenario.ts';

const NO_LIMIT = Number.MAX_SAFE_INTEGER;
const two = [
  { slot: 1, version: 1 },
  { slot: 2, version: 1 },
];

export const DEMAND_SCENARIOS: readonly Scenario[] = [
  {
    name: 'demand-store',
    about: 'a page is written back by name while its slot is overwritten and read',
    stored: two,
    actors: [writeBack(2), client('store', 0, write(2, 2), read(2))],
  },
  {
    name: 'demand-trim',
    about: 'pages are written back by name while one of them is trimmed and its slot written again',
    stored: two,
    actors: [writeBack(1, 3), client('client', 0, trim(2), write(2, 2))],
  },
  {
    name: 'demand-load',
    about: 'a page is written back by name while it is read and again after',
    stored: two,
    actors: [writeBack(2), client('load', 0, read(2), read(2))],
  },
  {
    name: 'demand-walker',
    about: 'a page is written back by name while another shrinker takes it as the coldest of its list',
    stored: two.slice(0, 1),
    actors: [writeBack(1), walker()],
  },
  {
    name: 'demand-offline',
    about: 'a page is written back by name while its memcg goes offline, so that it is on another list',
    stored: two,
    parentMax: NO_LIMIT,
    actors: [writeBack(2), offline],
  },
  {
    name: 'demand-offline-store',
    about: 'as demand-offline, and the entry is freed by a store, whose own is on the list of either memcg',
    stored: two.slice(0, 1),
    parentMax: NO_LIMIT,
    actors: [writeBack(1), offline, storer(1, 2)],
  },
];
