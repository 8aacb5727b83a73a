/** Scenarios in which it counts what the image has: what a FLUSH has answered for, and what must not be read there any more. */
import { NBD_EIO } from 'node-nbd-server/device';
import { client, flush, read, type Scenario, swapoff, walker, write } from './scenario.ts';

const one = [{ slot: 1, version: 1 }];

export const IMAGE_SCENARIOS: readonly Scenario[] = [
  {
    name: 'flush-twice',
    about: 'a slot is overwritten while one FLUSH runs, and flushed again by the client that wrote it',
    stored: one,
    strict: true,
    actors: [client('flush', 0, flush(1)), client('store', 1, write(1, 2), flush(1))],
  },
  {
    name: 'flush-writeback',
    about: 'a FLUSH, while the page that it covers is being written back and its slot overwritten',
    stored: one,
    strict: true,
    actors: [walker(), client('flush', 0, flush(1)), client('store', 1, write(1, 2))],
  },
  {
    name: 'rejected-torn',
    about: 'a rejected store fails on the image and tears what a writeback of the slot may have put there just before',
    stored: one,
    strict: true,
    memcgMax: 0,
    image: { okWrites: 1, failWrites: 1 },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [walker(), client('store', 0, write(1, 2), flush(1), read(1))],
  },
  {
    name: 'swapoff-read',
    about: 'a slot is read, of which the image has an older version, while the export is swapped off',
    stored: [{ slot: 1, version: 2 }],
    onImage: [{ slot: 1, version: 1 }],
    pages: 2,
    actors: [client('load', 0, read(1)), swapoff()],
  },
];
