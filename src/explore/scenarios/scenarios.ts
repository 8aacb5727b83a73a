/**
 * The scenarios, each a race that somebody ran into. A scenario is small on purpose: two or three actors, one or two
 * operations each, because the search tries every interleaving of them.
 */
import { NBD_EIO, NBD_ESHUTDOWN } from 'node-nbd-server/device';
import { TREE_PAGES } from '../../pool/limits.ts';
import { allocate, client, flush, giveUp, read, type Scenario, swapoff, trim, walker, write } from './scenario.ts';
import { BESIDE_MATRIX } from './scenarios_beside.ts';
import { IMAGE_SCENARIOS } from './scenarios_image.ts';
import { PAGE_SCENARIOS } from './scenarios_pages.ts';

const one = [{ slot: 1, version: 1 }];
/** Slot 0 and its neighbour: when the neighbour goes, slot 0's entry moves from the node into the head of the tree. */
const corner = [
  { slot: 0, version: 1 },
  { slot: 1, version: 1 },
];

const split = corner.map(({ slot, version }) => ({ slot: TREE_PAGES + slot, version }));

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'leak',
    about: 'a slot is trimmed while its page is being written back',
    stored: one,
    actors: [walker(), client('trim', 0, trim(1))],
  },
  {
    name: 'stale-data',
    about: 'a slot is overwritten while its page is being written back',
    beside: ['leak'],
    stored: one,
    actors: [walker(), client('store', 0, write(1, 2), read(1))],
  },
  {
    name: 'recycled-slot',
    about: 'a slot is trimmed and written again while its page is being written back',
    stored: one,
    actors: [walker(), client('client', 0, trim(1), write(1, 2))],
  },
  {
    name: 'duplicate-store',
    about: 'a slot is overwritten twice while its page is being written back',
    stored: one,
    actors: [walker(), client('store', 0, write(1, 2), write(1, 3))],
  },
  {
    name: 'load',
    about: 'a slot is read while its page is being written back and again after',
    stored: one,
    actors: [walker(), client('load', 0, read(1), read(1))],
  },
  {
    name: 'swapoff',
    about: 'the export is swapped off while a page of it is being written back',
    stored: one,
    pages: 2,
    actors: [walker(), swapoff()],
  },
  {
    name: 'swapoff-late',
    about:
      'as swapoff, and the writeback comes too late when its image write has begun, or its pin has failed, already',
    window: ['f', 'W5', 'fail'],
    stored: one,
    pages: 2,
    actors: [walker(), swapoff()],
  },
  {
    name: 'swapon',
    about: 'the export is swapped off and on again while a page of it is being written back',
    stored: one,
    pages: 2,
    actors: [walker(), swapoff({ swapon: true })],
  },
  {
    name: 'swapoff-write',
    about: 'a slot is written and read while the export is swapped off',
    stored: one,
    pages: 2,
    errors: [NBD_ESHUTDOWN],
    actors: [client('store', 0, write(1, 2), read(1)), swapoff()],
  },
  {
    name: 'swapoff-header',
    about: 'the slot of the header, which stays, is written and read while the export is swapped off',
    stored: [],
    onImage: [{ slot: 0, version: 1 }],
    pages: 2,
    errors: [NBD_ESHUTDOWN],
    actors: [client('store', 0, write(0, 2), read(0)), swapoff()],
  },
  {
    name: 'swapoff-trim',
    about: 'all slots, that of the header too, are trimmed while the export is swapped off',
    stored: corner,
    pages: 2,
    errors: [NBD_ESHUTDOWN],
    actors: [client('trim', 0, trim(0, 2)), swapoff()],
  },
  {
    name: 'swapoff-slot-0',
    about: 'the export is swapped off while the page of its header, whose slot stays in use, is being written back',
    stored: [{ slot: 0, version: 1 }],
    pages: 1,
    actors: [walker(), swapoff()],
  },
  {
    name: 'swapoff-keep',
    about: 'as swapoff, with --keep: every slot stays in use',
    stored: one,
    pages: 2,
    actors: [walker(), swapoff({ keep: true })],
  },
  {
    name: 'swapoff-flush',
    about: 'the export is swapped off while a FLUSH copies what is stored to the image',
    stored: one,
    pages: 2,
    strict: true,
    actors: [client('flush', 0, flush(1)), swapoff()],
  },
  {
    name: 'two-writebacks',
    about: 'two shrinkers pick the same page while its slot is trimmed',
    stored: one,
    actors: [walker('shrinker A'), walker('shrinker B'), client('trim', 0, trim(1))],
  },
  {
    name: 'lru-skip',
    about: 'a walk meets a busy page, and the next page of the list is trimmed before the walk goes on',
    stored: [...one, { slot: 2, version: 1 }],
    pinned: 1,
    actors: [walker('shrinker', 2), client('trim', 0, trim(2))],
  },
  {
    name: 'second-chance',
    about: 'a page is read, which gives it a second chance, while a shrinker walks, which takes it away',
    stored: [...one, { slot: 2, version: 1 }],
    heuristic: 'second-chance',
    actors: [walker('shrinker', 16, true), client('load', 0, read(1))],
  },
  {
    name: 'fault-recursion',
    about: 'a store pins its slot, meets its memcg limit, and the reclaim it asks for picks the old page of that slot',
    stored: one,
    memcgMax: 1,
    actors: [client('store', 0, write(1, 2))],
  },
  {
    name: 'fault-recursion-putback',
    about: 'as fault-recursion, while a shrinker holds the page off the list and puts it back for want of a buffer',
    stored: one,
    memcgMax: 1,
    buffersLeft: 1,
    actors: [walker(), { kind: 'holder', name: 'other', what: 'buffer' }, client('store', 0, write(1, 2))],
  },
  {
    name: 'fault-recursion-worker',
    about:
      'reclaim for one store has picked the old page of a slot that another store pins, which then asks for reclaim',
    stored: one,
    memcgMax: 1,
    actors: [client('store 2', 0, write(2, 1)), client('store 1', 1, write(1, 2))],
  },
  {
    name: 'busy-head',
    about: 'the coldest page of the list is busy: the walk must come to the next one',
    stored: [...one, { slot: 2, version: 1 }],
    pinned: 1,
    actors: [walker('shrinker', 16, true)],
  },
  {
    name: 'fast-path',
    about: 'two slots are trimmed at once, and the tree collapses under the one at index 0',
    stored: corner,
    actors: [client('trim 0', 0, trim(0)), client('trim 1', 1, trim(1))],
  },
  {
    name: 'fast-path-split',
    about: 'as fast-path, in the second tree: its first slot has index 0 only where indices are relative',
    stored: split,
    actors: [client('trim 16384', 0, trim(TREE_PAGES)), client('trim 16385', 1, trim(TREE_PAGES + 1))],
  },
  {
    name: 'fast-path-grow',
    about: 'a slot that is alone in the head of the tree is trimmed, and the tree grows under it for another',
    stored: [{ slot: 0, version: 1 }],
    actors: [client('trim 0', 0, trim(0)), client('store 1', 1, write(1, 1))],
  },
  {
    name: 'fast-path-reuse',
    about: 'a slot that only the image has is trimmed, while the root of its tree is freed and used again as a leaf',
    stored: [{ slot: 68, version: 1 }],
    onImage: [{ slot: 130, version: 1 }],
    actors: [client('trim 130', 0, trim(130)), client('client', 1, trim(68), write(2, 1))],
  },
  {
    name: 'read-trim',
    about: 'a slot is read over one connection and trimmed over another',
    stored: one,
    actors: [client('load', 0, read(1)), client('trim', 1, trim(1))],
  },
  {
    name: 'write-trim',
    about: 'a slot is written over one connection and trimmed over another',
    stored: one,
    actors: [client('store', 0, write(1, 2)), client('trim', 1, trim(1))],
  },
  {
    name: 'no-node',
    about: 'a slot is written for which the tree has no node left',
    stored: [{ slot: 0, version: 1 }],
    noNodes: true,
    actors: [client('store', 0, write(1, 1), read(1))],
  },
  {
    name: 'image-error',
    about: 'the image fails the write of a page that is being written back, and that is read and overwritten meanwhile',
    stored: one,
    image: { failWrites: 1 },
    actors: [walker('shrinker', 2), client('client', 0, read(1), write(1, 2))],
  },
  {
    name: 'image-order',
    about: 'a store is rejected, and its image write is queued behind that of the old page, on an image that reorders',
    stored: one,
    memcgMax: 0,
    image: { parallel: 2 },
    actors: [walker(), client('store', 0, write(1, 2), read(1))],
  },
  {
    name: 'rejected-store-error',
    about: 'a store is rejected and its image write fails, so the old page must be there for a read',
    stored: one,
    memcgMax: 1,
    image: { failWrites: 1 },
    errors: [NBD_EIO],
    actors: [client('store', 0, write(1, 2), read(1)), client('load', 1, read(1))],
  },
  {
    name: 'rejected-store',
    about: 'a store is rejected and goes to the image while the old page is being written back',
    stored: one,
    memcgMax: 1,
    actors: [walker(), client('store', 0, write(1, 2), read(1))],
  },
  {
    name: 'slot-reuse',
    about: 'a freed slot is written again while its trim is still at work',
    stored: one,
    actors: [client('trim', 0, trim(1)), client('store', 1, allocate(1, 0), write(1, 2))],
  },
  {
    name: 'resend-write',
    about: 'a write waits for a pin, its connection is given up, and it is sent again over another, then a newer one',
    stored: one,
    actors: [
      { kind: 'holder', name: 'pin of slot 1', what: 'pin' },
      client('old', 0, write(1, 2)),
      client('new', 1, giveUp(0), write(1, 2), write(1, 3)),
    ],
  },
  {
    name: 'resend-limit',
    about: 'a write waits for the shrinker at its memcg limit, and its connection is given up and another one writes',
    stored: [{ slot: 2, version: 1 }],
    memcgMax: 1,
    actors: [client('old', 0, write(1, 2)), client('new', 1, giveUp(0), write(1, 2), write(1, 3))],
  },
  {
    name: 'late-trim',
    about: 'a trim waits for a claim, its connection is given up, and another writes the slot',
    stored: one,
    actors: [
      { kind: 'holder', name: 'claim of slot 1', what: 'claim' },
      client('old', 0, trim(1)),
      client('new', 1, giveUp(0), write(1, 2)),
    ],
  },
  ...IMAGE_SCENARIOS,
];

export function findScenario(name: string): Scenario | undefined {
  return [...SCENARIOS, ...BESIDE_MATRIX, ...PAGE_SCENARIOS].find((one) => one.name === name);
}
