/**
 * A list of the pool is walked in pieces, so that its lock is held for PIECE steps at most, however long the list is: a
 * hundred million entries take seconds, and who waits five for a lock stops the server (sync.ts).
 *
 * Under the lock a piece is only copied; what is asked of it is asked with the lock dropped, which also leaves the others
 * time to take it. The position is the last element of a piece. It is good for as long as nothing has left its place:
 *   1. we stand at X   2. X is moved to the tail, or freed and linked again elsewhere   3. we would pass by what lies between
 *   1. we stand at X   2. what we have seen is moved behind X                           3. we would see it twice
 * So a list counts what is unlinked, under its lock. If that differs from what it was at the first piece, the walk is given
 * up: what it found is worth nothing. What is only added is seen or not; whoever compares sums has to ask for that himself.
 */
import * as sync from '../shm/sync.ts';

/** Some milliseconds, if each step misses the cache. */
export const PIECE = 16384;

interface List {
  /** The lock of the list is words[index], and so is its count of what was unlinked. */
  readonly lock: Int32Array;
  readonly index: number;
  readonly unlinked: Float64Array;
  readonly heads: Int32Array;
  readonly head: number;
  readonly next: Int32Array;
  /** What ends the list. */
  readonly none: number;
}

/** What `unlinked` of the list is now. */
export function stampOf({ lock, index, unlinked }: Pick<List, 'lock' | 'index' | 'unlinked'>): number {
  sync.lock(lock, index);
  const stamp = unlinked[index];
  sync.unlock(lock, index);
  return stamp;
}

/**
 * Calls `visit` with each element, without the lock, until it answers false, as it has to for an element that it has seen
 * or that can't be: the links behind that are not to be trusted. False if the list is no longer as it was at `stamp`.
 */
export function eachLinked(list: List, stamp: number, piece: Int32Array, visit: (element: number) => boolean): boolean {
  for (let last = list.none; ; ) {
    const count = copyPiece(list, stamp, last, piece);
    if (count < 0) return false;
    for (let i = 0; i < count; i++) if (!visit(piece[i])) return true;
    if (count < piece.length) return true;
    last = piece[count - 1];
  }
}

/** The elements after `last`, or the first ones; -1 where the list has changed. */
function copyPiece(
  { lock, index, unlinked, heads, head, next, none }: List,
  stamp: number,
  last: number,
  piece: Int32Array,
): number {
  sync.lock(lock, index);
  let count = unlinked[index] === stamp ? 0 : -1;
  if (count === 0) {
    let element = last === none ? heads[head] : next[last];
    while (element !== none && count < piece.length) {
      piece[count++] = element;
      // A damaged link leads nowhere; whoever visits it says so.
      element = next[element] ?? none;
    }
  }
  sync.unlock(lock, index);
  return count;
}
