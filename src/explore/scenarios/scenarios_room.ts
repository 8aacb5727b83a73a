/** Scenarios in which something has run out, or is moved to make room. */
import { client, read, type Scenario, walker, write } from './scenario.ts';

const one = [{ slot: 1, version: 1 }];

/** Compaction moves what was stored last: its zspage is the first of its group. */
export const ROOM_SCENARIOS: readonly Scenario[] = [
  {
    name: 'no-entry',
    about: 'two stores, for which there is one entry',
    stored: one,
    entriesLeft: 1,
    actors: [client('store 1', 0, write(1, 2), read(1)), client('store 2', 1, write(2, 1))],
  },
  {
    name: 'no-record',
    about: 'two stores and a writeback, and slots in use may be one',
    stored: one,
    recordsLeft: 1,
    actors: [walker(), client('store 1', 0, write(1, 2)), client('store 2', 1, write(2, 1))],
  },
  {
    name: 'no-request-buffer',
    about: 'two stores are rejected, and there is one buffer to take their pages to the image',
    stored: one,
    memcgMax: 0,
    requestBuffersLeft: 1,
    actors: [client('store 1', 0, write(1, 2)), client('store 2', 1, write(2, 1))],
  },
  {
    name: 'no-buffer',
    about:
      'two pages are to be written back, and there is one buffer for them, which somebody else takes and gives back',
    stored: [...one, { slot: 2, version: 1 }],
    buffersLeft: 1,
    actors: [walker('shrinker', 2), { kind: 'holder', name: 'other', what: 'buffer' }, client('load', 0, read(1))],
  },
  {
    name: 'compaction',
    about: 'an object is moved while it is read, and where it was another page is stored',
    stored: [...one, { slot: 2, version: 1 }],
    sparse: true,
    actors: [{ kind: 'compactor', name: 'compaction' }, client('load', 0, read(2)), client('store', 1, write(3, 1))],
  },
  {
    name: 'compaction-writeback',
    about: 'an object is moved while its page is being written back',
    stored: [...one, { slot: 2, version: 1 }],
    sparse: true,
    actors: [walker('shrinker', 2), { kind: 'compactor', name: 'compaction' }],
  },
];
