/** Scenarios of a memcg that goes offline: its pages become its parent's, whatever is under way with them. */
import { PAGE_SIZE } from '../../pool/limits.ts';
import { client, offline, pressure, read, reclaim, type Scenario, storer, trim, walker } from './scenario.ts';

const NO_LIMIT = Number.MAX_SAFE_INTEGER;
const two = [
  { slot: 1, version: 1 },
  { slot: 2, version: 1 },
];

export const MEMCG_SCENARIOS: readonly Scenario[] = [
  {
    name: 'offline-store',
    about: 'a memcg goes offline while a store adds a page to it, and a new memcg is made',
    stored: two.slice(0, 1),
    parentMax: NO_LIMIT,
    actors: [storer(1, 2), offline, client('read', 0, read(1))],
  },
  {
    name: 'offline-shrink',
    about: 'a memcg goes offline while a page of it is being written back',
    stored: two,
    parentMax: NO_LIMIT,
    actors: [walker(), offline],
  },
  {
    name: 'offline-putback',
    about: 'a memcg goes offline while writeback has a page of it that it has to give up, because its slot is in use',
    stored: two,
    pinned: 1,
    parentMax: NO_LIMIT,
    actors: [walker(), offline],
  },
  {
    name: 'offline-trim',
    about: 'a memcg goes offline while one page of it is being written back and another is trimmed',
    stored: two,
    parentMax: NO_LIMIT,
    actors: [walker(), offline, client('trim', 0, trim(2))],
  },
  {
    name: 'reclaim-offline',
    about: 'everything below a memcg is to be written back, and the one that has the pages goes offline',
    stored: two,
    parentMax: NO_LIMIT,
    actors: [reclaim(PAGE_SIZE), offline],
  },
  {
    name: 'reclaim-worker',
    about: 'as reclaim-offline, and the worker takes pages of the same memcgs for want of room',
    stored: two,
    parentMax: NO_LIMIT,
    actors: [reclaim(PAGE_SIZE), offline, pressure],
  },
  {
    name: 'reclaim-two',
    about:
      'two shrinkers at one list: a page is to be written back for memory.reclaim, and another thread takes one as well',
    stored: two,
    parentMax: NO_LIMIT,
    actors: [reclaim(PAGE_SIZE), walker()],
  },
  {
    name: 'offline-swapin',
    about:
      'a page comes back from the image, which protects others of its memcg, while one is added and that goes offline',
    stored: two.slice(0, 1),
    onImage: two.slice(1),
    heuristic: 'protected',
    parentMax: NO_LIMIT,
    actors: [client('read', 0, read(2)), storer(1, 2), offline],
  },
];
