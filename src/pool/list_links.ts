/**
 * The links of the LRU lists (lru.ts): where an entry comes to, and how it leaves. Whoever calls holds the lock of the list.
 *
 *   head -> coldest ... warmest -> firstDead ... tail      where dead pages go last (dead.ts)
 *   head -> coldest ... warmest = tail                     where they don't: firstDead is NONE
 *
 * With `dead: last` a live entry comes before the first dead one however late it comes, so that a walk from the head meets no dead
 * page while the list has another. That costs a column and no walk. An entry changes between dead and live where it is; who does
 * that to one that is linked rotates it.
 */
import { float64, int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { type Entries, NONE } from './entries.ts';

/** By memcg. */
export interface Lists {
  readonly lock: Int32Array;
  readonly head: Int32Array;
  readonly tail: Int32Array;
  /** The first dead entry, where those go behind all others. */
  readonly firstDead: Int32Array;
  /** Entries on the list. */
  readonly count: Int32Array;
  /** Bytes of the objects on the list, and of those isolated from it. What zswap.current is, memcg.ts counts. */
  readonly charged: Float64Array;
  /** Those of them whose pages are dead (dead.ts). */
  readonly dead: Float64Array;
  /** How often an entry has left its place, so that a walk in pieces knows whether it still knows where it is (pieces.ts). */
  readonly unlinked: Float64Array;
  /** What a heuristic keeps from the background shrinker (held_back.ts). */
  readonly heldBack: Float64Array;
}

/** The lists as one knows them who links entries. */
export interface LinkedLists extends Lists {
  /** Dead entries go behind all others. */
  readonly deadLast: boolean;
}

export function createLists(rows: number): Lists {
  return {
    lock: int32(rows),
    head: int32(rows),
    tail: int32(rows),
    firstDead: int32(rows),
    count: int32(rows),
    charged: float64(rows),
    dead: float64(rows),
    unlinked: float64(rows),
    heldBack: float64(rows),
  };
}

/** At the tail, or before the dead ones if it is live and they go last. */
export function linkTail(lru: LinkedLists, t: Entries, m: number, e: number): void {
  sync.held(lru.lock, m);
  const goesLast = lru.deadLast && t.dead[e] === 1;
  const after = goesLast ? NONE : lru.firstDead[m];
  const before = after === NONE ? lru.tail[m] : t.prev[after];
  t.prev[e] = before;
  t.next[e] = after;
  if (before === NONE) lru.head[m] = e;
  else t.next[before] = e;
  if (after === NONE) lru.tail[m] = e;
  else t.prev[after] = e;
  if (goesLast && lru.firstDead[m] === NONE) lru.firstDead[m] = e;
}

export function unlink(lru: Lists, t: Entries, m: number, e: number): void {
  sync.held(lru.lock, m);
  const before = t.prev[e];
  const after = t.next[e];
  if (before === NONE) lru.head[m] = after;
  else t.next[before] = after;
  if (after === NONE) lru.tail[m] = before;
  else t.prev[after] = before;
  if (lru.firstDead[m] === e) lru.firstDead[m] = after;
  t.prev[e] = NONE;
  t.next[e] = NONE;
  lru.unlinked[m]++;
}

/** All of list `m` comes to list `heir`: to its head, and its dead ones behind all others if they go last. */
export function join(lru: Lists, t: Entries, m: number, heir: number): void {
  const dead = lru.firstDead[m];
  if (dead !== NONE) {
    const [lastLive, before] = [t.prev[dead], lru.tail[heir]];
    t.prev[dead] = before;
    if (before === NONE) lru.head[heir] = dead;
    else t.next[before] = dead;
    lru.tail[heir] = lru.tail[m];
    if (lru.firstDead[heir] === NONE) lru.firstDead[heir] = dead;
    lru.firstDead[m] = NONE;
    lru.tail[m] = lastLive;
    if (lastLive === NONE) lru.head[m] = NONE;
  }
  const first = lru.head[m];
  if (first === NONE) return;
  const [last, old] = [lru.tail[m], lru.head[heir]];
  t.next[last] = old;
  if (old === NONE) lru.tail[heir] = last;
  else t.prev[old] = last;
  lru.head[heir] = first;
  lru.head[m] = NONE;
  lru.tail[m] = NONE;
}
