/** Scenarios of two exports on one pool, each with its image and its memcg. */
import {
  type ActorSpec,
  client,
  type Operation,
  read,
  type Scenario,
  swapoff,
  trim,
  walker,
  write,
} from './scenario.ts';

const both = [
  { slot: 1, version: 1 },
  { slot: 1, version: 1, x: 1 },
];

function second(name: string, connection: number, ...operations: Operation[]): ActorSpec {
  return { kind: 'client', name, connection, x: 1, operations };
}

/** Slot 2 is written over a connection to each. */
const stores = [client('store', 0, write(2, 1)), second('store of the second', 1, write(2, 1))];

export const EXPORT_SCENARIOS: readonly Scenario[] = [
  {
    name: 'exports',
    about: 'the same slot of two exports: of one it is being written back, of the other overwritten',
    stored: both,
    exports: 2,
    actors: [walker(), second('store', 0, write(1, 2), read(1))],
  },
  {
    name: 'exports-entry',
    about: 'an entry that a trim frees is used again by another export, while its page is being written back',
    stored: both.slice(0, 1),
    exports: 2,
    actors: [walker(), client('trim', 0, trim(1)), second('store', 1, write(1, 1))],
  },
  {
    name: 'exports-swapoff',
    about: 'one export is swapped off while a page of the other is being written back and its slot written again',
    stored: both,
    exports: 2,
    pages: 2,
    actors: [{ ...walker(), memcg: 1 } as ActorSpec, second('store', 0, write(1, 2)), swapoff()],
  },
  {
    name: 'memcgs',
    about:
      'two exports at the limits of their memcgs, which is one page of each: what leaves for one is no room for the other',
    stored: both,
    exports: 2,
    memcgMax: 1,
    memcgPages: 1,
    actors: stores,
  },
  {
    name: 'memcgs-parent',
    about: 'two exports whose memcgs are below one that may have one page: a store of one sees that of the other',
    stored: [],
    exports: 2,
    parentMax: 1,
    parentPages: 1,
    actors: stores,
  },
];
