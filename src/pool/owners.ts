/**
 * Owners of slots, where an agent in the guest says whose they are: a number for each slot, and a row of the table of memcgs for
 * each number. Numbers are given to cgroups of the guest, for each export its own; 0 is nobody's, and its row is `unattributed`.
 *
 *   slots   number of each slot's cgroup    written and read by whoever has the slot's pin
 *   rows    memcg of each number            written by the main thread, looked up under the pin of a slot that has the number
 *   named   slots that have the number      written by the shrinker's thread
 *
 * The number in between is why a cgroup that goes away costs one word, whatever slots it had, and why those don't name a row that
 * is to be somebody else's: the main thread first lets the number stand for the parent, and then takes the row offline, which
 * waits for the pins of that moment (memcg_tree.ts).
 *   1. a store pins its slot and looks its memcg up   2. the cgroup is gone, its number is the parent's, its row is offline
 *   3. the store charges the row, which still is what it was: whoever looks from here on finds the parent
 * A number is given out again when no slot has it, so that no store can be between its slot's number and that number's row.
 */
import { int32, PART_SHIFT, PART_WORDS, wideUint16 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';

/** Cgroups of one guest: those that have a memcg, and those that are gone and have slots. */
export const CGROUPS_MAX = 8192;
/** Number of a slot that nobody claimed. */
export const NOBODY = 0;
const STRIDE = CGROUPS_MAX + 1;

export interface Owners {
  /** Per export, in parts; none where no agent says. */
  readonly slots: readonly (readonly Uint16Array[])[];
  readonly rows: Int32Array;
  readonly named: Int32Array;
}

/** `pages`: of each export, 0 for one without an agent. */
export function createOwners(pages: readonly number[]): Owners {
  const numbers = pages.some((count) => count > 0) ? pages.length * STRIDE : 0;
  return { slots: pages.map(wideUint16), rows: int32(numbers), named: int32(numbers) };
}

/** Whether an agent says whose the slots of export `x` are: then nobody's have a row, which is never the root. */
export function hasAgent({ rows }: Owners, x: number): boolean {
  return rows.length > 0 && rows[x * STRIDE] !== 0;
}

/** The memcg of a slot. Its pin is held. */
export function ownerRow(o: Owners, x: number, slot: number): number {
  return sync.load(o.rows, x * STRIDE + numberAt(o, x, slot));
}

/** The number of a slot. Its pin is held, or it is asked by the thread that changes owners. */
export function numberAt({ slots }: Owners, x: number, slot: number): number {
  return slots[x][slot >>> PART_SHIFT][slot & (PART_WORDS - 1)];
}

/** The memcg of number `n`. */
export function rowOfNumber(o: Owners, x: number, n: number): number {
  return sync.load(o.rows, x * STRIDE + n);
}

export function setRow(o: Owners, x: number, n: number, row: number): void {
  sync.store(o.rows, x * STRIDE + n, row);
}

/** Gives a slot to number `n`; its pin is held. The slot's owner changes in one thread alone, so that plain counts will do. */
export function setNumber(o: Owners, x: number, slot: number, n: number): void {
  const part = o.slots[x][slot >>> PART_SHIFT];
  const at = slot & (PART_WORDS - 1);
  const before = part[at];
  if (before === n) return;
  part[at] = n;
  if (before !== NOBODY) sync.add(o.named, x * STRIDE + before, -1);
  if (n !== NOBODY) sync.add(o.named, x * STRIDE + n, 1);
}

/** The memcgs of all numbers of export `x`, or none where no agent says. A number that was never given has the root. */
export function rowsOfNumbers(o: Owners, x: number): Int32Array {
  return hasAgent(o, x) ? o.rows.subarray(x * STRIDE, (x + 1) * STRIDE) : new Int32Array(0);
}

/** Whether pages of export `x` are stored for memcg `m`, now or as soon as its agent says so. */
export function ownsFor(o: Owners, x: number, m: number): boolean {
  return rowsOfNumbers(o, x).includes(m);
}

/** Marks for findOwned: numbers that are looked for. */
export function markNumbers(numbers: Iterable<number>): Uint8Array {
  const wanted = new Uint8Array(STRIDE);
  for (const n of numbers) wanted[n] = 1;
  return wanted;
}

/** Slots that have number `n`. */
export function slotsOf({ named }: Owners, x: number, n: number): number {
  return sync.load(named, x * STRIDE + n);
}

/**
 * The first slot in [from, to) whose number is wanted, or `to`. Without pins it is a hint; the slots change in one thread alone.
 */
export function findOwned({ slots }: Owners, x: number, wanted: Uint8Array, from: number, to: number): number {
  for (let slot = from; slot < to; ) {
    const part = slots[x][slot >>> PART_SHIFT];
    const first = slot & (PART_WORDS - 1);
    const end = Math.min(part.length, first + to - slot);
    for (let at = first; at < end; at++) if (wanted[part[at]] !== 0) return slot + at - first;
    slot += end - first;
  }
  return to;
}

/** Slots that are charged to each row of the table of memcgs, added to `sums`. */
export function addCharged({ rows, named }: Owners, sums: Float64Array): void {
  for (let i = 0; i < named.length; i++) if (named[i] !== 0) sums[rows[i]] += named[i];
}

/** Whether a slot has number `n`. */
export function isNamed(o: Owners, x: number, n: number): boolean {
  return slotsOf(o, x, n) !== 0;
}
