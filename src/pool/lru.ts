/**
 * One LRU list of entries per memcg, as the kernel's list_lru: add at the tail, walk from the head (head = coldest).
 *
 * The lists are linked through the entries' `prev` and `next` columns. What a memcg is charged lives beside its list,
 * because both change at the same moment under the same lock. Same-filled pages have no object and are on no list.
 * An entry is on the list if and only if prev or next is set or it is the head; `del` of an unlinked entry does nothing.
 * An isolated entry (taken off by a protocol that may put it back) is on no list, stays charged, and is marked so that
 * whoever frees it uncharges it and that putting it back twice is harmless.
 */
import { float64, int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { type Entries, NONE } from './entries.ts';
import { MEMCGS_MAX } from './limits.ts';

/** `prev` and `next` of an isolated entry. */
const ISOLATED = -1;

export interface Lru {
  readonly lock: Int32Array;
  readonly head: Int32Array;
  readonly tail: Int32Array;
  /** Entries on the list. */
  readonly count: Int32Array;
  /** Bytes of compressed objects charged to the memcg (memory.zswap.current). */
  readonly charged: Float64Array;
  /** How often an entry has left its place, so that a walk in pieces knows whether it still knows where it is (pieces.ts). */
  readonly unlinked: Float64Array;
  /** Stores that were let in at the memcg's limit and are not charged yet (zswap/admission.ts). Under no lock. */
  readonly reserved: Int32Array;
}

export function createLru(): Lru {
  return {
    lock: int32(MEMCGS_MAX),
    head: int32(MEMCGS_MAX),
    tail: int32(MEMCGS_MAX),
    count: int32(MEMCGS_MAX),
    charged: float64(MEMCGS_MAX),
    unlinked: float64(MEMCGS_MAX),
    reserved: int32(MEMCGS_MAX),
  };
}

/** Caller holds the LRU lock of memcg `m`. */
function linkTail(lru: Lru, t: Entries, m: number, e: number): void {
  sync.held(lru.lock, m);
  const last = lru.tail[m];
  t.prev[e] = last;
  t.next[e] = NONE;
  if (last === NONE) lru.head[m] = e;
  else t.next[last] = e;
  lru.tail[m] = e;
}

function unlink(lru: Lru, t: Entries, m: number, e: number): void {
  sync.held(lru.lock, m);
  const before = t.prev[e];
  const after = t.next[e];
  if (before === NONE) lru.head[m] = after;
  else t.next[before] = after;
  if (after === NONE) lru.tail[m] = before;
  else t.prev[after] = before;
  t.prev[e] = NONE;
  t.next[e] = NONE;
  lru.unlinked[m]++;
}

/** Caller holds the LRU lock. */
export function linked(lru: Lru, t: Entries, m: number, e: number): boolean {
  return (t.prev[e] !== NONE && t.prev[e] !== ISOLATED) || lru.head[m] === e;
}

/** Adds at the tail (the warm end) and charges the memcg. Publishing to writeback: call it last. */
export function add(lru: Lru, t: Entries, e: number): void {
  const m = t.memcg[e];
  sync.lock(lru.lock, m);
  linkTail(lru, t, m, e);
  lru.count[m]++;
  lru.charged[m] += t.length[e];
  sync.unlock(lru.lock, m);
}

/** Unlinks and uncharges; nothing for an entry that is neither on a list nor isolated. */
export function del(lru: Lru, t: Entries, e: number): void {
  const m = t.memcg[e];
  sync.lock(lru.lock, m);
  if (linked(lru, t, m, e)) {
    unlink(lru, t, m, e);
    lru.count[m]--;
    lru.charged[m] -= t.length[e];
  } else if (t.prev[e] === ISOLATED) {
    t.prev[e] = NONE;
    t.next[e] = NONE;
    lru.charged[m] -= t.length[e];
  }
  sync.unlock(lru.lock, m);
}

/** Moves a linked entry to the tail. Caller holds the LRU lock. */
export function rotate(lru: Lru, t: Entries, e: number): void {
  const m = t.memcg[e];
  unlink(lru, t, m, e);
  linkTail(lru, t, m, e);
}

export function moveToTail(lru: Lru, t: Entries, e: number): void {
  const m = t.memcg[e];
  sync.lock(lru.lock, m);
  if (linked(lru, t, m, e)) rotate(lru, t, e);
  sync.unlock(lru.lock, m);
}

/** Takes an entry off the list and keeps its charge: the first step of protocols that isolate. Caller holds the lock. */
export function isolate(lru: Lru, t: Entries, e: number): void {
  const m = t.memcg[e];
  unlink(lru, t, m, e);
  t.prev[e] = ISOLATED;
  t.next[e] = ISOLATED;
  lru.count[m]--;
}

/** As isolate, for a caller without the lock; false for an entry that is on no list. */
export function isolateIfLinked(lru: Lru, t: Entries, e: number): boolean {
  const m = t.memcg[e];
  sync.lock(lru.lock, m);
  const found = linked(lru, t, m, e);
  if (found) isolate(lru, t, e);
  sync.unlock(lru.lock, m);
  return found;
}

/** Puts an isolated entry back at the tail; nothing for one that is not isolated any more. */
export function putback(lru: Lru, t: Entries, e: number): void {
  const m = t.memcg[e];
  sync.lock(lru.lock, m);
  if (t.prev[e] === ISOLATED) {
    linkTail(lru, t, m, e);
    lru.count[m]++;
  }
  sync.unlock(lru.lock, m);
}

/** Checks links, count and charge of one list: the sum of lengths must be what is charged. Throws with what is wrong. */
export function checkLru(lru: Lru, t: Entries, m: number): void {
  sync.lock(lru.lock, m);
  let seen = 0;
  let bytes = 0;
  let before: number = NONE;
  for (let e = lru.head[m]; e !== NONE; e = t.next[e]) {
    if (t.prev[e] !== before) throw new Error(`LRU ${m}: entry ${e} has prev ${t.prev[e]}, not ${before}`);
    if (++seen > lru.count[m]) break;
    bytes += t.length[e];
    before = e;
  }
  const { [m]: count } = lru.count;
  const { [m]: charged } = lru.charged;
  sync.unlock(lru.lock, m);
  if (seen !== count) throw new Error(`LRU ${m}: ${seen} entries linked, ${count} counted`);
  if (bytes !== charged) throw new Error(`LRU ${m}: ${bytes} bytes linked, ${charged} charged`);
}
