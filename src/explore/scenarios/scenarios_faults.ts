/** Scenarios in which the image fails: a call of each kind, and of writes each one in turn. */
import { NBD_EIO } from 'node-nbd-server/device';
import {
  client,
  flush,
  pressure,
  read,
  type Scenario,
  stop,
  swapoff,
  trim,
  walker,
  write,
  writePart,
} from './scenario.ts';

const one = [{ slot: 1, version: 1 }];
/** What the image has of the slot is older than what the pool has: nobody may read it any more. */
const older = [{ slot: 1, version: 3 }];

export const FAULT_SCENARIOS: readonly Scenario[] = [
  {
    name: 'punch-error',
    about: 'the punch of a trim fails, of a slot that another connection reads and whose older version the image has',
    stored: one,
    onImage: older,
    image: { failPunches: 1 },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [client('trim', 0, trim(1)), client('load', 1, read(1))],
  },
  {
    name: 'punch-error-flush',
    about:
      'the image refuses what a swapoff has it forget, while two FLUSHes vouch for the slot, of which it has an older page',
    stored: one,
    onImage: older,
    pages: 2,
    strict: true,
    image: { failPunches: 1 },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [client('flush', 0, flush(1), flush(1)), swapoff()],
  },
  {
    name: 'punch-error-writeback',
    about: 'the punch of a trim fails while the page of its slot is being written back, and the slot is written again',
    stored: one,
    image: { failPunches: 1 },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [walker(), client('client', 0, trim(1), write(1, 2), read(1))],
  },
  {
    name: 'swapoff-punch-error',
    about:
      'the punch of a swapoff fails, and is asked for again, while a slot is read whose older version the image has',
    stored: one,
    onImage: older,
    pages: 2,
    image: { failPunches: 1 },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [client('load', 0, read(1), read(1)), swapoff()],
  },
  {
    name: 'sync-error',
    about: 'the disk takes no sync: no FLUSH is answered well, be it the first or a later one',
    stored: one,
    strict: true,
    image: { failSyncs: true },
    errors: [NBD_EIO],
    actors: [walker(), client('client', 0, write(1, 2), flush(1), flush(1))],
  },
  {
    name: 'flush-again',
    about:
      'a FLUSH whose image write fails is sent again, while another client flushes and a page is being written back',
    stored: one,
    strict: true,
    image: { failWrites: 1 },
    errors: [NBD_EIO],
    actors: [walker(), client('client', 0, write(1, 2), flush(1), flush(1))],
  },
  {
    name: 'second-write-error',
    about: 'the second image write fails and has written nothing, be it that of a page or that of a rejected store',
    stored: [{ slot: 3, version: 1 }, ...one],
    memcgMax: 0,
    image: { okWrites: 1, failWrites: 1, intact: true },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [walker('shrinker', 2), client('store', 0, write(3, 2), read(3))],
  },
  {
    name: 'run-error',
    about: 'two adjacent pages go to the image in one write, which fails in the middle, and the server stops',
    stored: [...one, { slot: 2, version: 1 }],
    image: { failWrites: 1 },
    actors: [pressure, client('client', 0, read(1), write(2, 2)), stop],
  },
  {
    name: 'read-error',
    about: 'the image fails a read while its slot is overwritten, and the slot is read again',
    stored: [],
    onImage: one,
    image: { failReads: 1 },
    mayLose: true,
    actors: [client('load', 0, read(1), read(1)), client('store', 1, write(1, 2))],
  },
  {
    name: 'part-read-error',
    about: 'the image fails the read of what a part of a slot is written over, while another connection reads the slot',
    stored: [],
    onImage: one,
    image: { failReads: 1 },
    mayLose: true,
    errors: [NBD_EIO],
    actors: [client('part', 0, writePart(1), read(1)), client('load', 1, read(1))],
  },
];
