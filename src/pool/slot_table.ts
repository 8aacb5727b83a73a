/**
 * The memory of the slot table, which slots.ts works on: a hash table of records, one for each slot that a request or
 * writeback uses, and the free list of those that nobody uses.
 */
import { assert } from '../shm/assert.ts';
import { int32, uint8, uint32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { THREADS_MAX } from './limits.ts';
import { createShares, giveShare, type Shares, takeShare } from './shares.ts';

export interface SlotTable {
  /** Per bucket: [lock, head]. */
  readonly buckets: Int32Array;
  readonly volume: Uint8Array;
  readonly slot: Uint32Array;
  readonly next: Int32Array;
  readonly locked: Int32Array;
  readonly page: Int32Array;
  readonly wb: Int32Array;
  readonly retired: Int32Array;
  readonly waiters: Int32Array;
  readonly wants: Int32Array;
  /** Belongs to whoever holds the pin. */
  readonly offLru: Uint8Array;
  /** [lock, free list head] */
  readonly control: Int32Array;
  /** Of the records; under the lock in `control`. */
  readonly shares: Shares;
}

/** In `locked`: the holder has its page. */
export const FILLED = 0x100;
/** In `locked`: the pin was handed to the holder, who has waited for it and has not come for it yet. */
export const HANDED = 0x200;
/** The bits of `locked` that say who holds the pin. */
export const HOLDER_MASK = FILLED - 1;
/** In `waiters`, above all threads: the watch (zswap/pin_watch.ts) has seen this pin. It goes with the pin. */
export const WATCHED = 1 << 30;
assert(THREADS_MAX < FILLED, 'a holder fits beside the flag in the word of a pin');
assert(THREADS_MAX < 30, 'the flag is no thread of a mask');
const BUCKET_BITS = 12;
/** Indices in `control`. */
const LOCK = 0;
export const FREE_HEAD = 1;

/** `records`: how many slots of `exports` exports can be in use at once; further pins answer ENOMEM. */
export function createSlotTable(records: number, exports: number): SlotTable {
  const next = int32(records + 1);
  for (let r = 1; r < records; r++) next[r] = r + 1;
  const control = int32(4);
  control[FREE_HEAD] = 1;
  return {
    buckets: int32(2 << BUCKET_BITS),
    volume: uint8(records + 1),
    slot: uint32(records + 1),
    next,
    locked: int32(records + 1),
    page: int32(records + 1),
    wb: int32(records + 1),
    retired: int32(records + 1),
    waiters: int32(records + 1),
    wants: int32(records + 1),
    offLru: uint8(records + 1),
    control,
    shares: createShares(records, exports),
  };
}

/** Index of the bucket's lock word; its head is the next word. */
export function bucketOf(x: number, slot: number): number {
  return (Math.imul(slot ^ (x << 25), 0x9e3779b1) >>> (32 - BUCKET_BITS)) << 1;
}

/** The thread of mask `wants` whose turn it is after `thread`, each as often as the others; -1 if it is empty. */
export function nextInTurn(wants: number, thread: number): number {
  if (wants === 0) return -1;
  const later = wants & ~((2 << thread) - 1);
  const among = later !== 0 ? later : wants;
  return 31 - Math.clz32(among & -among);
}

/** The slot's record, or 0. Lock of its bucket held, as by all below. */
export function findRecord(t: SlotTable, b: number, x: number, slot: number): number {
  let r = t.buckets[b + 1];
  while (r !== 0 && (t.slot[r] !== slot || t.volume[r] !== x)) r = t.next[r];
  return r;
}

/** A new record for the slot; 0 when its export may have no more, and then the threads in `waiters` are going to be woken. */
export function insertRecord(t: SlotTable, b: number, x: number, slot: number, waiters: number): number {
  const r = recordFor(t, x, waiters);
  if (r === 0) return 0;
  t.volume[r] = x;
  t.slot[r] = slot;
  t.next[r] = t.buckets[b + 1];
  t.buckets[b + 1] = r;
  return r;
}

/** Takes a record without pin, page and writeback out of its bucket; returns the threads that waited for one. */
export function reap(t: SlotTable, b: number, r: number): number {
  if (t.locked[r] !== 0 || t.page[r] !== 0 || t.wb[r] !== 0) return 0;
  let at = t.buckets[b + 1];
  if (at === r) t.buckets[b + 1] = t.next[r];
  else {
    while (t.next[at] !== r) at = t.next[at];
    t.next[at] = t.next[r];
  }
  return takeBack(t, r);
}

/** A free record for a slot of export `x`, or 0. */
function recordFor(t: SlotTable, x: number, waiters: number): number {
  sync.lock(t.control, LOCK);
  const taken = takeShare(t.shares, x, waiters);
  const r = taken ? t.control[FREE_HEAD] : 0;
  assert(!taken || r !== 0, 'who has a share finds a record');
  if (r !== 0) t.control[FREE_HEAD] = t.next[r];
  sync.unlock(t.control, LOCK);
  return r;
}

/** The record is free again; the threads that waited for one. */
function takeBack(t: SlotTable, r: number): number {
  sync.lock(t.control, LOCK);
  t.next[r] = t.control[FREE_HEAD];
  t.control[FREE_HEAD] = r;
  const refused = giveShare(t.shares, t.volume[r]);
  sync.unlock(t.control, LOCK);
  return refused;
}
