/**
 * One bit per slot of each export, in shared memory that costs what is touched. Two such maps exist: `users` (written
 * and not trimmed) and `lost` (the last acknowledged bytes exist nowhere; reads answer EIO).
 */
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';

export type Bits = readonly Int32Array[];

export function createBits(pages: readonly number[]): Bits {
  return pages.map((count) => int32(Math.ceil(count / 32)));
}

export function testBit(bits: Bits, x: number, slot: number): boolean {
  return ((sync.load(bits[x], slot >>> 5) >>> (slot & 31)) & 1) === 1;
}

export function setBit(bits: Bits, x: number, slot: number): void {
  const word = bits[x];
  const bit = 1 << (slot & 31);
  // Most writes go to slots that are in use already; a load is cheaper than a locked or.
  if ((sync.load(word, slot >>> 5) & bit) === 0) sync.or(word, slot >>> 5, bit);
}

export function clearBit(bits: Bits, x: number, slot: number): void {
  const word = bits[x];
  const bit = 1 << (slot & 31);
  if ((sync.load(word, slot >>> 5) & bit) !== 0) sync.and(word, slot >>> 5, ~bit);
}

/** The first slot in [from, to) whose bit is `value`, or `to`. Skips whole words, so an empty range costs little. */
export function findBit(bits: Bits, x: number, from: number, to: number, value: boolean): number {
  const word = bits[x];
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
  for (let slot = from; slot < to; ) {
    if ((slot & 31) === 0 && to - slot >= 32) {
      bits[x][slot >>> 5] = -1;
      slot += 32;
    } else setBit(bits, x, slot++);
  }
}

/** How many bits of export `x`, which has `pages` slots, are set: about, as others may be at work. Plain reads: 8 TiB are 2^26 words. */
export function countBits(bits: Bits, x: number, pages: number): number {
  const words = bits[x];
  const end = Math.ceil(pages / 32);
  let count = 0;
  for (let i = 0; i < end; i++) if (words[i] !== 0) count += countOnes(words[i]);
  return count;
}

function countOnes(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const nibbles = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
