/**
 * Invalidate protocol `load-noreload` (Kairui Song's patch and its review, linux-mm, October 2024; not merged): a
 * lockless walk finds out whether there is anything to erase, and only then the tree is locked, and the place that the
 * walk found is cleared, whatever happened to it meanwhile.
 *
 *   walk; lock; clear the place; unlock; free
 *
 * Who frees: who cleared. Lock order: tree.lock -> lru.lock -> allocator.
 * Known weakness: the lone entry of index 0 moves into the tree's head when its last sibling goes:
 *   1. F3 walks: node N, slot 0   2. another walks to index 1   3. it locks, clears, N collapses into the head
 *   4. F3 locks, clears N's slot 0, which is dead, and frees the entry: the head still has it
 * How far that reaches is `treeIndexing`'s matter: where indices are relative, each tree has an index 0, as the review
 * presumed; where they are absolute, as in the kernel, only the header's slot has it.
 */
import { clearAt } from '../../pool/tree_walk.ts';
import type { InvalidateProtocol, ProtocolPool } from '../protocol.ts';
import { freesAtOnce, loadThenLock, STEPS } from './load_before_lock.ts';

function noReload(pool: ProtocolPool, tree: number, slot: number): number {
  const { place } = pool;
  clearAt(pool.trees, tree, slot, place);
  return place.e;
}

export const loadNoReload = {
  name: 'load-noreload',
  declaration: {
    about: 'walks the tree without its lock, then clears what it found there',
    steps: STEPS,
    refuses: freesAtOnce,
    weakness: () =>
      "an entry that moves into or out of its tree's head is freed and stays, or is lost: use after free, leak",
  },
  lockless: true,
  invalidate: loadThenLock(noReload),
} as const satisfies InvalidateProtocol;
