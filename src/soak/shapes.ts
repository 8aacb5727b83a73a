/**
 * What a guest asks of its swap device, in the sizes that were measured of one, and what goes wrong between it and a server:
 * most requests of swap-out are of 4 KiB, but those of 64 to 256 KiB carry the bytes; swap-in is random and up to 32 KiB;
 * TRIM comes by 2 MiB; a slot is replaced by overwriting it. Beside that parts of pages, WRITE_ZEROES, reads of what was
 * acknowledged a moment ago over another connection, and connections that are cut with requests under way.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { cut } from './cut.ts';
import type { Abilities, Hand } from './hand.ts';
import type { Link, Outcome } from './link.ts';
import { PAGE, SECTORS } from './page.ts';
import type { Range } from './picker.ts';
import type { Random } from './random.ts';

interface Shape {
  readonly name: string;
  readonly weight: number;
  readonly needs?: keyof Abilities;
  readonly run: (hand: Hand, link: Link) => Promise<unknown>;
}

const SIZES_OUT = [
  { weight: 55, least: 1, most: 1 },
  { weight: 20, least: 2, most: 15 },
  { weight: 24, least: 16, most: 64 },
  { weight: 1, least: 256, most: 768 },
];
const SIZES_IN = [
  { weight: 70, least: 1, most: 1 },
  { weight: 30, least: 2, most: 8 },
];
const TRIM_SLOTS = (2 * 2 ** 20) / PAGE;

/** In per mille. */
const SHAPES: readonly Shape[] = [
  { name: 'swap-in', weight: 440, run: swapIn },
  { name: 'swap-out', weight: 330, run: swapOut },
  { name: 'echo', weight: 70, run: echo },
  { name: 'part-write', weight: 40, needs: 'parts', run: partWrite },
  { name: 'part-read', weight: 30, needs: 'parts', run: partRead },
  { name: 'zeroes', weight: 30, needs: 'writeZeroes', run: zeroes },
  { name: 'trim', weight: 7, needs: 'trim', run: trim },
  { name: 'cut', weight: 6, needs: 'cuts', run: (hand) => cut(hand) },
  { name: 'flush', weight: 10, needs: 'flush', run: ({ operations }, link) => operations.flush(link) },
  { name: 'cache', weight: 10, needs: 'cache', run: cache },
  { name: 'status', weight: 10, needs: 'blockStatus', run: status },
];

export function shapesFor(can: Abilities): readonly Shape[] {
  return SHAPES.filter(({ needs }) => needs === undefined || can[needs]);
}

function sizeOf(random: Random, sizes: typeof SIZES_OUT): number {
  const { least, most } = random.weighted(sizes);
  return least + random.below(most - least + 1);
}

/** Locks, works, unlocks. A moment is left where all is locked. */
async function withLocked<T>(
  { picker }: Hand,
  most: number,
  work: (range: Range) => Promise<T>,
  align?: number,
): Promise<void> {
  const range = picker.lock(most, align);
  if (range === null) {
    await delay(1);
    return;
  }
  try {
    await work(range);
  } finally {
    picker.unlock(range);
  }
}

function swapIn(hand: Hand, link: Link): Promise<void> {
  return withLocked(hand, sizeOf(hand.random, SIZES_IN), (range) => readOne(hand, range, link));
}

/** Where several pages fail together, each is asked by itself: which one it was is what counts. */
async function readOne({ operations }: Hand, range: Range, link: Link): Promise<Outcome> {
  const outcome = await operations.readAndVerify(range, link);
  if (outcome.end !== 'failed' || range.count === 1) return outcome;
  for (let i = 0; i < range.count; i++) await operations.readAndVerify({ slot: range.slot + i, count: 1 }, link);
  return outcome;
}

function swapOut(hand: Hand, link: Link): Promise<void> {
  const { operations, random, writer } = hand;
  return withLocked(hand, sizeOf(random, SIZES_OUT), (range) =>
    // One in four is given up when it is not answered: then nobody knows, until it is read.
    operations.write(operations.prepare(range, writer), link, random, random.below(4) > 0),
  );
}

/** What was acknowledged a moment ago is there for every connection. */
function echo(hand: Hand, link: Link): Promise<void> {
  const { operations, random, writer, world } = hand;
  return withLocked(hand, 1 + random.below(8), async (range) => {
    await operations.write(operations.prepare(range, writer), link, random, true);
    const other = await world.links.pick(random, link);
    if (other !== null) await readOne(hand, range, other);
  });
}

function sectorsOf(random: Random): { first: number; end: number } {
  const first = random.below(SECTORS);
  return { first, end: first + 1 + random.below(first === 0 ? SECTORS - 1 : SECTORS - first) };
}

function partWrite(hand: Hand, link: Link): Promise<void> {
  const { operations, random, writer } = hand;
  return withLocked(hand, 1, (range) =>
    operations.write(operations.prepare({ ...range, ...sectorsOf(random) }, writer), link, random, true),
  );
}

function partRead(hand: Hand, link: Link): Promise<void> {
  const { operations, random } = hand;
  return withLocked(hand, 1, (range) => operations.readAndVerify({ ...range, ...sectorsOf(random) }, link));
}

function zeroes(hand: Hand, link: Link): Promise<void> {
  const { operations, random, can } = hand;
  const isPart = can.parts && random.chance(0.3);
  return withLocked(hand, isPart ? 1 : 1 + random.below(64), (range) =>
    operations.writeZeroes(isPart ? { ...range, ...sectorsOf(random) } : range, random.chance(0.5), link),
  );
}

function trim(hand: Hand, link: Link): Promise<void> {
  return withLocked(hand, TRIM_SLOTS, (range) => hand.operations.trim(range, link), TRIM_SLOTS);
}

function cache(hand: Hand, link: Link): Promise<void> {
  return withLocked(hand, sizeOf(hand.random, SIZES_IN), (range) => hand.operations.cache(range, link));
}

function status(hand: Hand, link: Link): Promise<void> {
  return withLocked(hand, 1 + hand.random.below(256), (range) => hand.operations.blockStatus(range, link));
}
