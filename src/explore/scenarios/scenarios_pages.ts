/** Scenarios of reclaim by pages of the allocator (protocol.lru: allocator), which was historic before it was over. */
import { client, read, type Scenario, trim, walker, write } from './scenario.ts';

const one = [{ slot: 1, version: 1 }];
/** Small as they are, these share a page: first and last. */
const two = [...one, { slot: 2, version: 1 }];
/** First, last and middle. */
const three = [...two, { slot: 3, version: 1 }];

export const PAGE_SCENARIOS: readonly Scenario[] = [
  {
    name: 'reclaim-free',
    about: 'both objects of a page are trimmed while the page is being reclaimed',
    stored: two,
    actors: [walker('reclaim'), client('trim', 0, trim(1), trim(2))],
  },
  {
    name: 'reclaim-store',
    about: 'a slot is overwritten and read while the page that its older object is in is being reclaimed',
    beside: ['leak'],
    stored: two,
    actors: [walker('reclaim'), client('store', 0, write(1, 2), read(1))],
  },
  {
    name: 'reclaim-reuse',
    about: 'what reclaim has noted of a page is trimmed, and another slot is stored meanwhile',
    beside: ['leak'],
    stored: one,
    actors: [walker('reclaim'), client('client', 0, trim(1), write(3, 1), read(3))],
  },
  {
    name: 'reclaim-label',
    about: 'a page is reclaimed that a store has an object in, which it has not labelled yet',
    stored: [],
    actors: [walker('reclaim'), client('store', 0, write(1, 1), read(1))],
  },
  {
    name: 'reclaim-ends',
    about: 'a page is reclaimed that nobody is at, beside a read of another slot: it must go',
    stored: two,
    actors: [walker('reclaim', 1, true), client('load', 0, read(4))],
  },
  {
    name: 'reclaim-in-store',
    about: 'two stores find the pool full, and each has a page reclaimed, be it the one that has its older object',
    beside: ['leak'],
    stored: two,
    onePage: true,
    actors: [client('store 1', 0, write(1, 2), read(1)), client('store 3', 1, write(3, 1))],
  },
  {
    name: 'two-reclaims',
    about: 'two threads reclaim pages while an object of one is trimmed',
    stored: two,
    actors: [walker('reclaim A'), walker('reclaim B'), client('trim', 0, trim(1))],
  },
  {
    name: 'z3fold-free',
    about: 'all three objects of a page of z3fold are trimmed while it is being reclaimed',
    allocator: 'z3fold',
    stored: three,
    actors: [walker('reclaim'), client('trim', 0, trim(1), trim(2), trim(3))],
  },
  {
    name: 'z3fold-last',
    about: 'the only object of a page of z3fold is trimmed when reclaim comes for the page',
    allocator: 'z3fold',
    stored: one,
    actors: [walker('reclaim'), client('trim', 0, trim(1))],
  },
  {
    name: 'z3fold-move',
    about: 'the middle object of a page of z3fold is moved and read while the page is reclaimed',
    allocator: 'z3fold',
    beside: ['leak'],
    stored: three,
    actors: [walker('reclaim'), client('client', 0, trim(1), read(3))],
  },
];
