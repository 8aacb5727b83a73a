/**
 * One bit per slot of each export, in shared memory that costs what is touched. Two such maps exist: `users` (written
 * and not trimmed) and `lost` (the last acknowledged bytes exist nowhere; reads answer EIO). Of these it is kept how many
 * bits are set, because 8 TiB are 2^26 words, which take a tenth of a second to count.
 *
 * The operation that changes a word answers what the word was, so exactly one thread knows of each change of a bit that it
 * was its own, and counts it after that. A sum that is read meanwhile is off by what is under way, and below 0 even:
 *   1. A sets a bit   2. B clears it, and counts -1   3. A counts +1
 */
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { THREADS_MAX } from './limits.ts';

export interface Bits {
  /** Per export. */
  readonly words: readonly Int32Array[];
  /** Per export, COUNT_WORDS apart: how many bits are set, modulo 2^32. Null where nobody asks. */
  readonly counts: Int32Array | null;
}

/** A line of the cache for each export: lanes that serve different ones don't meet. */
const COUNT_WORDS = 16;

export function createBits(pages: readonly number[]): Bits {
  return bitsOver(pages.map((count) => int32(Math.ceil(count / 32))));
}

/** As createBits, for maps that setCount is asked of. */
export function createCountedBits(pages: readonly number[]): Bits {
  return { ...createBits(pages), counts: int32(pages.length * COUNT_WORDS) };
}

/** Words that somebody else made. */
export function bitsOver(words: readonly Int32Array[]): Bits {
  return { words, counts: null };
}

export function testBit(bits: Bits, x: number, slot: number): boolean {
  return ((sync.load(bits.words[x], slot >>> 5) >>> (slot & 31)) & 1) === 1;
}

export function setBit(bits: Bits, x: number, slot: number): void {
  const word = bits.words[x];
  const bit = 1 << (slot & 31);
  // Most writes go to slots that are in use already; a load is cheaper than a locked or.
  if ((sync.load(word, slot >>> 5) & bit) !== 0) return;
  const before = sync.or(word, slot >>> 5, bit);
  if (bits.counts !== null && (before & bit) === 0) sync.add(bits.counts, x * COUNT_WORDS, 1);
}

export function clearBit(bits: Bits, x: number, slot: number): void {
  const word = bits.words[x];
  const bit = 1 << (slot & 31);
  if ((sync.load(word, slot >>> 5) & bit) === 0) return;
  const before = sync.and(word, slot >>> 5, ~bit);
  if (bits.counts !== null && (before & bit) !== 0) sync.add(bits.counts, x * COUNT_WORDS, -1);
}

/** The first slot in [from, to) whose bit is `value`, or `to`. Skips whole words, so an empty range costs little. */
export function findBit(bits: Bits, x: number, from: number, to: number, value: boolean): number {
  const word = bits.words[x];
  const skip = value ? 0 : -1;
  for (let slot = from; slot < to; ) {
    const w = sync.load(word, slot >>> 5);
    if ((slot & 31) === 0 && w === skip) {
      slot += 32;
      continue;
    }
    if (((w >>> (slot & 31)) & 1) === (value ? 1 : 0)) return slot;
    slot++;
  }
  return to;
}

/** Sets [from, to). For start-up, when nobody else looks. */
export function setRange(bits: Bits, x: number, from: number, to: number): void {
  const words = bits.words[x];
  let added = 0;
  for (let slot = from; slot < to; ) {
    if ((slot & 31) === 0 && to - slot >= 32) {
      added += 32 - countOnes(words[slot >>> 5]);
      words[slot >>> 5] = -1;
      slot += 32;
    } else setBit(bits, x, slot++);
  }
  if (bits.counts !== null) sync.add(bits.counts, x * COUNT_WORDS, added | 0);
}

/** How many bits of export `x` are set, from a counted map; exact when nothing is under way. */
export function setCount(bits: Bits, x: number): number {
  if (bits.counts === null) throw new Error('these bits are not counted');
  const count = sync.load(bits.counts, x * COUNT_WORDS);
  // An export has 2^31 slots at most, which is the smallest Int32; just below 0 is what is under way.
  return count < 0 && count > -THREADS_MAX ? 0 : count >>> 0;
}

/**
 * The same from the words themselves, of slots [from, pages): about, as others may be at work. Plain reads: 8 TiB are 2^26
 * words. `from` is a multiple of 32.
 */
export function countBits(bits: Bits, x: number, pages: number, from = 0): number {
  const words = bits.words[x];
  const end = Math.ceil(pages / 32);
  let count = 0;
  for (let i = from / 32; i < end; i++) if (words[i] !== 0) count += countOnes(words[i]);
  return count;
}

function countOnes(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
