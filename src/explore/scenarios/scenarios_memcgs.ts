/** Scenarios of a memcg that goes offline: its pages become its parent's, whatever is under way with them. */
import { client, offline, read, type Scenario, storer, trim, walker } from './scenario.ts';

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
