/**
 * Scenarios in which each page has a checksum, which says of a page that is right that it is, and of a wrong one that it is
 * not; and those of the scrub, which looks at pages that somebody else is about to change.
 */
import { NBD_EIO } from 'node-nbd-server/device';
import {
  client,
  flush,
  marker,
  read,
  type Scenario,
  scrub,
  stop,
  swapoff,
  trim,
  walker,
  write,
  writePart,
  zero,
} from './scenario.ts';

const one = [{ slot: 1, version: 1 }];

/** As few slots as a swapoff or a scrub has to look at. */
const sums = { checksums: true, pages: 3 } as const;

const SUMS: readonly Scenario[] = [
  {
    name: 'sums-writeback',
    about: 'a page is compared on its way to the image, and when it is read, while its slot is overwritten',
    ...sums,
    stored: one,
    actors: [walker(), client('client', 0, read(1), write(1, 2), read(1))],
  },
  {
    name: 'sums-trim',
    about: 'a page is compared on its way to the image, while its slot is trimmed, written again and read',
    ...sums,
    stored: one,
    actors: [walker(), client('client', 0, trim(1), write(1, 2), read(1))],
  },
  {
    name: 'sums-zeroes',
    about: 'a page of the image is read while zeros that keep their room come in its place',
    ...sums,
    stored: [],
    onImage: one,
    actors: [client('zeros', 0, zero(1, 2, { noHole: true })), client('load', 1, read(1), read(1))],
  },
  {
    name: 'sums-image',
    about: 'a page of the image is read while part of it is written, and then trimmed',
    ...sums,
    stored: [],
    onImage: one,
    actors: [client('part', 0, writePart(1), trim(1)), client('load', 1, read(1))],
  },
  {
    name: 'sums-rejected',
    about: 'a store is rejected and goes to the image, while the page before is written back there and read',
    ...sums,
    stored: one,
    memcgMax: 0,
    actors: [walker(), client('client', 0, write(1, 2), read(1))],
  },
  {
    name: 'sums-torn',
    about: 'a rejected store fails on the image and tears what a writeback of the slot may have put there just before',
    ...sums,
    stored: one,
    memcgMax: 0,
    image: { okWrites: 1, failWrites: 1 },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [walker(), client('client', 0, write(1, 2), read(1))],
  },
  {
    name: 'sums-lie',
    about: 'the image says that it has a page of which it has written half, while that is read, overwritten and read',
    ...sums,
    stored: one,
    image: { failWrites: 1, silent: true },
    mayLose: true,
    actors: [walker(), client('client', 0, read(1), write(1, 2), read(1))],
  },
];

const SCRUBS: readonly Scenario[] = [
  {
    name: 'scrub-store',
    about: 'the scrub reads a page of the image while its slot is overwritten, written back there and read',
    ...sums,
    stored: [],
    onImage: one,
    actors: [scrub, client('client', 0, write(1, 2), read(1)), walker()],
  },
  {
    name: 'scrub-rejected',
    about: 'the scrub reads a page of the image while a store that the pool has rejected comes in its place',
    ...sums,
    stored: [],
    onImage: one,
    memcgMax: 0,
    actors: [scrub, client('client', 0, write(1, 2), read(1))],
  },
  {
    name: 'scrub-writeback',
    about: 'the scrub looks at a page that is being written back, and that is overwritten',
    ...sums,
    stored: one,
    actors: [scrub, walker(), client('store', 0, write(1, 2))],
  },
  {
    name: 'scrub-parked',
    about:
      'the scrub looks at a page of which the image has half, because its writeback has failed and will be tried again',
    ...sums,
    stored: one,
    image: { failWrites: 1 },
    actors: [scrub, walker()],
  },
  {
    name: 'scrub-trim',
    about: 'the scrub reads a page of the image while its slot is trimmed and written again',
    ...sums,
    stored: [],
    onImage: one,
    actors: [scrub, client('client', 0, trim(1), write(1, 2), read(1))],
  },
  {
    name: 'scrub-stale',
    about: 'the scrub finds that the image has lost the write of a page, while that is read and overwritten',
    ...sums,
    stored: [],
    stale: [{ slot: 1, version: 2 }],
    mayLose: true,
    actors: [scrub, client('client', 0, read(1), write(1, 3), read(1))],
  },
  {
    name: 'scrub-swapoff',
    about: 'the scrub looks at pages of the pool and of the image while their export is swapped off, and they stay',
    ...sums,
    stored: one,
    onImage: [{ slot: 2, version: 1 }],
    actors: [scrub, swapoff({ keep: true })],
  },
  {
    name: 'scrub-discard',
    about: 'the scrub reads a page of the image that is discarded by a swapoff, and written again after the swapon',
    ...sums,
    stored: [],
    onImage: one,
    actors: [scrub, swapoff({ swapon: true })],
  },
  {
    name: 'scrub-drain',
    about: 'the scrub reads a page of the image that is overwritten while the server stops',
    ...sums,
    stored: [],
    onImage: one,
    actors: [scrub, client('client', 0, write(1, 2)), stop],
  },
];

/** What is known to be lost, and what a FLUSH is answered for meanwhile. */
const VOUCHED: readonly Scenario[] = [
  {
    name: 'vouch-read',
    about:
      'a READ finds a page wrong, and its client flushes while another one does: the marker has to be changed first',
    ...sums,
    stored: [{ slot: 2, version: 1 }],
    stale: [{ slot: 1, version: 2 }],
    strict: true,
    mayLose: true,
    actors: [client('load', 0, read(1), flush(2)), client('flush', 1, flush(2)), marker],
  },
  {
    name: 'vouch-scrub',
    about: 'the scrub finds a page wrong while a client flushes, and again: the marker has to be changed first',
    ...sums,
    stored: [{ slot: 2, version: 1 }],
    stale: [{ slot: 1, version: 2 }],
    strict: true,
    mayLose: true,
    actors: [scrub, client('flush', 0, flush(2), flush(2)), marker],
  },
];

export const SUM_SCENARIOS: readonly Scenario[] = [...SUMS, ...SCRUBS, ...VOUCHED];
