/**
 * Invalidate protocol `load-reload` (Kairui Song's patch and its review, linux-mm, October 2024; not merged): a
 * lockless walk finds out whether there is anything to erase, and only then the tree is locked, and walked again if the
 * place that was found has changed.
 *
 *   walk; lock; if the place has changed, walk again; clear; unlock; free
 *
 * Who frees: who cleared. Lock order: tree.lock -> lru.lock -> allocator. Safe while E2 holds, because the read section has
 * no gap from the walk to the lock.
 */
import { NONE } from '../../pool/entries.ts';
import { clearAt, isCurrent, walk } from '../../pool/tree_walk.ts';
import type { InvalidateProtocol, ProtocolPool } from '../protocol.ts';
import { freesAtOnce, loadThenLock, STEPS } from './load_before_lock.ts';

function reload(pool: ProtocolPool, tree: number, slot: number): number {
  const { place } = pool;
  if (!isCurrent(pool.trees, tree, place)) walk(pool.trees, tree, slot, place);
  if (place.e !== NONE) clearAt(pool.trees, tree, slot, place);
  return place.e;
}

export const loadReload = {
  name: 'load-reload',
  declaration: {
    about: 'walks the tree without its lock, and again with it if what it found has changed',
    steps: STEPS,
    refuses: freesAtOnce,
  },
  lockless: true,
  invalidate: loadThenLock(reload),
} as const satisfies InvalidateProtocol;
