/** Scenarios about requests of other shapes: several slots, parts of a slot, WRITE_ZEROES, and connections that end in the middle. */
import { NBD_ESHUTDOWN } from 'node-nbd-server/device';
import {
  client,
  cut,
  flush,
  read,
  readSlots,
  type Scenario,
  swapoff,
  trim,
  walker,
  write,
  writePart,
  writeSlots,
  zero,
} from './scenario.ts';

const one = [{ slot: 1, version: 1 }];
const two = [...one, { slot: 2, version: 1 }];

export const REQUEST_SCENARIOS: readonly Scenario[] = [
  {
    name: 'part',
    about: 'a part of a slot is written while the page that it is written over is being written back',
    stored: one,
    actors: [walker(), client('part', 0, writePart(1), read(1))],
  },
  {
    name: 'part-store',
    about: 'a part of a slot is written, which only the image has, while another connection overwrites the slot',
    stored: [],
    onImage: one,
    actors: [client('part', 0, writePart(1)), client('store', 1, write(1, 2), read(1))],
  },
  {
    name: 'part-trim',
    about: 'a part of a slot is written while the slot is trimmed',
    stored: one,
    actors: [client('part', 0, writePart(1)), client('trim', 1, trim(1))],
  },
  {
    name: 'zero',
    about: 'WRITE_ZEROES of a slot whose page is being written back, and it is written again',
    stored: one,
    actors: [walker(), client('zero', 0, zero(1, 2, { noHole: true }), write(1, 2))],
  },
  {
    name: 'zero-flush',
    about: 'WRITE_ZEROES that keeps its room, and a FLUSH after it, while the page of the slot is being written back',
    stored: one,
    strict: true,
    actors: [walker(), client('zero', 0, zero(1, 2, { noHole: true }), flush(1))],
  },
  {
    name: 'trims-flush',
    about: 'two connections trim a slot that the image has, and one of them flushes',
    stored: [],
    onImage: one,
    strict: true,
    actors: [client('trim', 0, trim(1)), client('other', 1, trim(1), flush(1))],
  },
  {
    name: 'swapoff-trim-flush',
    about: 'a slot that the image has is trimmed, and flushed, while the export is swapped off',
    stored: [],
    onImage: one,
    pages: 2,
    strict: true,
    errors: [NBD_ESHUTDOWN],
    actors: [client('trim', 0, trim(1), flush(1)), swapoff()],
  },
  {
    name: 'zero-edge',
    about: 'WRITE_ZEROES of a slot and of half of the next, which another connection overwrites',
    stored: two,
    actors: [client('zero', 0, zero(1, 2, { half: true })), client('store', 1, write(2, 2))],
  },
  {
    name: 'slots',
    about: 'two slots are written by one WRITE and read by one READ, while their pages are being written back',
    stored: two,
    actors: [walker('shrinker', 2), client('client', 0, writeSlots(1, 3, 2), readSlots(1, 3))],
  },
  {
    name: 'slots-store',
    about: 'two slots that only the image has are read by one READ while one of them is overwritten',
    stored: [],
    onImage: two,
    actors: [client('load', 0, readSlots(1, 3)), client('store', 1, write(2, 2))],
  },
  {
    name: 'slots-rejected',
    about: 'one WRITE of two slots is rejected and goes to the image, while a READ of both waits for it',
    stored: one,
    onImage: [{ slot: 2, version: 1 }],
    memcgMax: 0,
    actors: [client('load', 0, readSlots(1, 3)), client('store', 1, writeSlots(1, 3, 2))],
  },
  {
    name: 'slots-trim',
    about: 'two slots that only the image has are read by one READ while they are trimmed',
    stored: [],
    onImage: two,
    actors: [client('load', 0, readSlots(1, 3)), client('trim', 1, trim(1, 3))],
  },
  {
    name: 'cut-write',
    about: 'a connection ends while its lane is at a write, which is sent again over another, then a newer one',
    stored: one,
    actors: [client('old', 0, write(1, 2)), client('new', 1, cut(0), write(1, 2), write(1, 3))],
  },
  {
    name: 'cut-trim',
    about: 'a connection ends while its lane is at a trim of two slots, which is sent again, then a write',
    stored: two,
    actors: [client('old', 0, trim(1, 3)), client('new', 1, cut(0), trim(1, 3), write(1, 2))],
  },
  {
    name: 'cut-limit',
    about: 'as cut-write, and the write waits for the shrinker at the limit of its memcg',
    stored: [{ slot: 2, version: 1 }],
    memcgMax: 1,
    actors: [client('old', 0, write(1, 2)), client('new', 1, cut(0), write(1, 2), write(1, 3))],
  },
];
