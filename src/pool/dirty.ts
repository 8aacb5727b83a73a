/**
 * Which slots the image does not hold durably (strict durability): one bit per slot of each export.
 *
 * A debt belongs to the slot, not to its entry: an entry is freed by the next WRITE, written back or rejected, and what was
 * promised of the slot stays promised. A bit is set under the slot's pin or claim, before the request is answered; it is
 * taken by whoever is going to make the slot durable, and put back if that fails.
 *
 * Why the setter may leave a bit alone that it finds set, although somebody may take it a moment later:
 *   1. a WRITE holds the pin and finds the bit set   2. a FLUSH takes the bit   3. the WRITE publishes and unpins
 *   4. the FLUSH pins the slot, which it can't before 3, and copies what the WRITE has published
 *
 * A summary has one bit for each GROUP of slots, so that a search costs what is dirty and not what the export spans. The
 * setter writes the slot's bit first and the summary's second; the taker clears the summary's first and takes the slots'
 * second. So a bit that is left behind has its summary bit set:
 *   1. the taker clears the summary   2. the setter sets a slot's bit   3. the taker takes it, or passed it already
 *   4. the setter finds the summary clear and sets it; in the first case that is one search for nothing
 */
import { assert } from '../shm/assert.ts';
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { type Bits, bitsOver, createBits, findBit, setBit, testBit } from './bits.ts';

/** Slots that one bit of the summary stands for. */
export const GROUP = 1024;
const WORD = 32;
assert(GROUP % WORD === 0, 'a group is whole words');

export interface Dirty {
  readonly slots: Bits;
  readonly summary: Bits;
  /** Slots of each export. */
  readonly pages: readonly number[];
}

export function createDirty(pages: readonly number[]): Dirty {
  const summary = pages.map((count) => int32(Math.ceil(count / GROUP / WORD)));
  return { slots: createBits(pages), summary: bitsOver(summary), pages };
}

/** The caller holds the slot's pin, or a claim on it. */
export function setDirty(d: Dirty, x: number, slot: number): void {
  setBit(d.slots, x, slot);
  setBit(d.summary, x, Math.floor(slot / GROUP));
}

export function isDirty(d: Dirty, x: number, slot: number): boolean {
  return testBit(d.slots, x, slot);
}

/** Takes the bits of slots [first, end), and answers their slots in ascending order. One thread takes at a time. */
export function takeDirty(d: Dirty, x: number, first: number, end: number): Uint32Array {
  const found = new SlotList();
  const groups = Math.ceil(end / GROUP);
  for (let group = Math.floor(first / GROUP); group < groups; group++) {
    group = findBit(d.summary, x, group, groups, true);
    if (group === groups) break;
    const from = Math.max(first, group * GROUP);
    const to = Math.min(end, (group + 1) * GROUP);
    const whole = from === group * GROUP && to === Math.min(d.pages[x], (group + 1) * GROUP);
    // Of a part the summary stays as it is: the rest of the group may be dirty.
    if (whole) sync.and(d.summary.words[x], group >>> 5, ~(1 << (group & 31)));
    takeGroup(d.slots.words[x], from, to, found);
  }
  return found.slots();
}

function takeGroup(words: Int32Array, from: number, to: number, found: SlotList): void {
  for (let slot = from; slot < to; slot = (Math.floor(slot / WORD) + 1) * WORD) {
    const word = Math.floor(slot / WORD);
    if (sync.load(words, word) === 0) continue;
    const mask = maskOf(slot - word * WORD, Math.min(to - word * WORD, WORD));
    let bits = sync.and(words, word, ~mask) & mask;
    for (; bits !== 0; bits &= bits - 1) found.push(word * WORD + 31 - Math.clz32(bits & -bits));
  }
}

/** Bits [from, to) of a word. */
function maskOf(from: number, to: number): number {
  const below = to === WORD ? -1 : (1 << to) - 1;
  return below & ~((1 << from) - 1);
}

/** The slots of both, each once; both are in ascending order. */
export function mergeSlots(a: Uint32Array, b: Uint32Array): Uint32Array {
  if (a.length === 0 || b.length === 0) return a.length === 0 ? b : a;
  const all = new Uint32Array(a.length + b.length);
  let count = 0;
  for (let i = 0, k = 0; i < a.length || k < b.length; ) {
    const slot = k === b.length || a[i] <= b[k] ? a[i] : b[k];
    if (a[i] === slot) i++;
    if (b[k] === slot) k++;
    all[count++] = slot;
  }
  return all.subarray(0, count);
}

/** Slots that are gathered one by one, four bytes each. */
export class SlotList {
  private held = new Uint32Array(64);
  private count = 0;

  push(slot: number): void {
    if (this.count === this.held.length) {
      const larger = new Uint32Array(this.count * 2);
      larger.set(this.held);
      this.held = larger;
    }
    this.held[this.count++] = slot;
  }

  slots(): Uint32Array {
    return this.held.subarray(0, this.count);
  }
}
