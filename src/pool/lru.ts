/**
 * One LRU list of entries per memcg, as the kernel's list_lru: add at the tail, walk from the head (head = coldest).
 *
 * The lists are linked through the entries' `prev` and `next` columns. What a list is charged lives beside it, because both
 * change at the same moment under the same lock. Same-filled pages have no object and are on no list.
 * An entry is on the list if and only if prev or next is set or it is the head; `del` of an unlinked entry does nothing.
 * An isolated entry (taken off by a protocol that may put it back) is on no list, stays charged, and is marked so that
 * whoever frees it uncharges it and that putting it back twice is harmless.
 *
 * An entry is on the list of the memcg that it names or, where that is offline, of the nearest ancestor that is online. Which
 * one that is only the lock of the list tells, so whoever has an entry asks under that lock, and goes up if the list has gone:
 *
 *   add, del, putback, ...   lock m { online? do it } else unlock; the same with m's parent
 *   reparent                 lock m { lock parent { m's list to the head of the parent's; m is offline } }
 *
 *   1. a store looks its memcg up   2. reparent moves the list   3. the store adds: it finds m offline, and adds to the parent's
 *   1. the store adds to m's list   2. reparent moves the entry with the list
 *   1. writeback isolates an entry of m   2. reparent moves the list with its charge   3. the putback goes to the parent's tail
 *   1. an entry is given to m   2. m goes offline   3. it is linked to the list of m's parent, and counts for m
 * Two lists are locked by reparent alone, the deeper one first. A walk of m's list that is under way ends: the list is empty.
 */
import { assert } from '../shm/assert.ts';
import * as sync from '../shm/sync.ts';
import { type Entries, NONE } from './entries.ts';
import { PAGE_SIZE } from './limits.ts';
import { join, type LinkedLists, type Lists, linkTail, unlink } from './list_links.ts';
import { chargePath, commonOf, heirOf, MEMCG, type Memcgs, TABLE } from './memcg.ts';

/** `prev` and `next` of an isolated entry. */
const ISOLATED = -1;

/** The lists as a thread uses them. */
export interface Lru extends LinkedLists {
  readonly memcgs: Memcgs;
  readonly thread: number;
  /** What comes to a list protects it (heuristic `protected`). */
  readonly protects: boolean;
}

/** The lists as `thread` uses them: one of those that the memcgs have a cell for. */
export function openLru(lists: Lists, memcgs: Memcgs, thread: number, protects = false, deadLast = false): Lru {
  assert(thread < memcgs.threads, 'who changes lists has cells to count in');
  return { ...lists, memcgs, thread, protects, deadLast };
}

/** Locks the list that has what `m` names, and answers whose it is. */
export function lockList({ lock, memcgs }: Lru, m: number): number {
  for (let row = m; ; row = memcgs.parent[row]) {
    sync.lock(lock, row);
    if (memcgs.state[row] !== MEMCG.OFFLINE) return row;
    sync.unlock(lock, row);
  }
}

/** Caller holds the LRU lock. */
export function linked(lru: Lists, t: Entries, m: number, e: number): boolean {
  return (t.prev[e] !== NONE && t.prev[e] !== ISOLATED) || lru.head[m] === e;
}

function charge({ memcgs, thread }: Lru, t: Entries, e: number, sign: 1 | -1): void {
  const bytes = t.length[e];
  chargePath(memcgs, thread, t.memcg[e], bytes, sign, bytes === PAGE_SIZE);
}

/** Under the lock. Halved, as the kernel does it, so that what was protected once is let go as other pages come. */
function protect(lru: Lru, m: number): void {
  const held = lru.heldBack[m] + 1;
  lru.heldBack[m] = held > lru.count[m] >>> 2 ? Math.floor(held / 2) : held;
}

/** Adds at the tail (the warm end) and charges the memcg and its ancestors. Publishing to writeback: call it last. */
export function add(lru: Lru, t: Entries, e: number): void {
  const m = lockList(lru, t.memcg[e]);
  linkTail(lru, t, m, e);
  lru.count[m]++;
  lru.charged[m] += t.length[e];
  charge(lru, t, e, 1);
  if (lru.protects) protect(lru, m);
  sync.unlock(lru.lock, m);
}

/** Unlinks and uncharges; nothing for an entry that is neither on a list nor isolated. */
export function del(lru: Lru, t: Entries, e: number): void {
  const m = lockList(lru, t.memcg[e]);
  const onList = linked(lru, t, m, e);
  if (onList) {
    unlink(lru, t, m, e);
    lru.count[m]--;
  }
  if (onList || t.prev[e] === ISOLATED) {
    t.prev[e] = NONE;
    t.next[e] = NONE;
    lru.charged[m] -= t.length[e];
    revive(lru, t, m, e);
    charge(lru, t, e, -1);
  }
  sync.unlock(lru.lock, m);
}

/** Moves an entry of list `m` to its head, where the coldest is. Caller holds the LRU lock. */
export function moveToHead(lru: Lists, t: Entries, m: number, e: number): void {
  unlink(lru, t, m, e);
  const first = lru.head[m];
  t.next[e] = first;
  if (first === NONE) lru.tail[m] = e;
  else t.prev[first] = e;
  lru.head[m] = e;
}

/** Moves an entry of list `m` to its tail, or where live ones end there. Caller holds the LRU lock. */
export function rotate(lru: LinkedLists, t: Entries, m: number, e: number): void {
  unlink(lru, t, m, e);
  linkTail(lru, t, m, e);
}

/** As 6.8 did it after a load: the entry is taken off and added again, which protects one more (protect). */
export function moveToTail(lru: Lru, t: Entries, e: number): void {
  const m = lockList(lru, t.memcg[e]);
  if (linked(lru, t, m, e)) rotate(lru, t, m, e);
  if (lru.protects && t.length[e] > 0) protect(lru, m);
  sync.unlock(lru.lock, m);
}

/** Takes an entry off list `m` and keeps its charge: the first step of protocols that isolate. Caller holds the lock. */
export function isolate(lru: Lists, t: Entries, m: number, e: number): void {
  unlink(lru, t, m, e);
  t.prev[e] = ISOLATED;
  t.next[e] = ISOLATED;
  lru.count[m]--;
}

/** As isolate, for a caller without the lock; false for an entry that is on no list. */
export function isolateIfLinked(lru: Lru, t: Entries, e: number): boolean {
  const m = lockList(lru, t.memcg[e]);
  const found = linked(lru, t, m, e);
  if (found) isolate(lru, t, m, e);
  sync.unlock(lru.lock, m);
  return found;
}

/** Puts an isolated entry back at the tail; nothing for one that is not isolated any more. */
export function putback(lru: Lru, t: Entries, e: number): void {
  const m = lockList(lru, t.memcg[e]);
  if (t.prev[e] === ISOLATED) {
    linkTail(lru, t, m, e);
    lru.count[m]++;
    // As in 6.8, which did not halve here.
    if (lru.protects) lru.heldBack[m]++;
  }
  sync.unlock(lru.lock, m);
}

/**
 * An entry that is charged becomes memcg `to`'s: its charge, and its place at the tail of the list, or only the mark that it is
 * isolated. Nobody else may change its place or free it meanwhile, but for a walk that takes it off its list or turns it over: the
 * caller holds the slot's pin, which excludes its store, and the lock of its tree, which excludes its end (owner.ts).
 *
 * In this order, because what a row is charged keeps it from being somebody else's, and the list is found by the row:
 *   1. it leaves the list of `from`   2. it names `to`   3. it comes to the list of `to`   4. `from` is uncharged
 * `to` keeps its row by the pin, as for a store, and so does `from` after 4 (dying_rows.ts). Between 1 and 3 it is on no list, so
 * a walk may miss it.
 */
export function give(lru: Lru, t: Entries, e: number, to: number): void {
  const { memcgs, thread } = lru;
  const from = t.memcg[e];
  if (from === to) return;
  const bytes = t.length[e];
  const raw = bytes === PAGE_SIZE;
  const above = commonOf(memcgs, from, to);
  chargePath(memcgs, thread, to, bytes, 1, raw, above);
  const m = lockList(lru, from);
  const isolated = t.prev[e] === ISOLATED;
  if (!isolated) {
    unlink(lru, t, m, e);
    lru.count[m]--;
  }
  lru.charged[m] -= bytes;
  revive(lru, t, m, e);
  t.memcg[e] = to;
  sync.unlock(lru.lock, m);
  const heir = lockList(lru, to);
  lru.charged[heir] += bytes;
  if (!isolated) {
    linkTail(lru, t, heir, e);
    lru.count[heir]++;
  }
  sync.unlock(lru.lock, heir);
  chargePath(memcgs, thread, from, bytes, -1, raw, above);
}

/** It is not dead, or does not count as that any more; whether it was. Caller holds the lock of list `m`. */
export function revive(lru: Lists, t: Entries, m: number, e: number): boolean {
  sync.held(lru.lock, m);
  if (t.dead.length === 0 || t.dead[e] === 0) return false;
  t.dead[e] = 0;
  lru.dead[m] -= t.length[e];
  return true;
}

/** Whether entry `e` belongs on list `m`. The caller holds the lock of that list, or nothing moves. */
export function belongs({ memcgs }: Pick<Lru, 'memcgs'>, t: Entries, m: number, e: number): boolean {
  return heirOf(memcgs, t.memcg[e]) === m;
}

/**
 * Takes memcg `m` offline: its list goes to the head of its parent's, so that the child's pages are the parent's coldest, and
 * what is added, freed or put back from now on goes there too. The parent is online, and everything below `m` is offline.
 */
export function reparent(lru: Lru, t: Entries, m: number): void {
  const { control, parent, state } = lru.memcgs;
  const heir = parent[m];
  sync.lock(lru.lock, m);
  sync.lock(lru.lock, heir);
  join(lru, t, m, heir);
  lru.unlinked[m] += lru.count[m];
  lru.count[heir] += lru.count[m];
  lru.charged[heir] += lru.charged[m];
  lru.dead[heir] += lru.dead[m];
  lru.count[m] = 0;
  lru.charged[m] = 0;
  lru.dead[m] = 0;
  // Not the parent's: its own pages say what it holds back. A new memcg in this row begins with none.
  lru.heldBack[m] = 0;
  state[m] = MEMCG.OFFLINE;
  control[TABLE.MOVED]++;
  sync.unlock(lru.lock, heir);
  sync.unlock(lru.lock, m);
}
