/**
 * Invalidate protocol `load-reset` (Kairui Song's patch and its review, linux-mm, October 2024; not merged): a
 * lockless walk finds out whether there is anything to erase, and only then the tree is locked and walked again from the
 * top.
 *
 *   walk; lock; walk again and clear; unlock; free
 *
 * Who frees: who cleared. Lock order: tree.lock -> lru.lock -> allocator. Safe while E2 holds. Run time fell by 0.2 to 1.6 %
 * where it was measured, and the review preferred empty-check.
 */
import { erase } from '../../pool/tree.ts';
import type { InvalidateProtocol, ProtocolPool } from '../protocol.ts';
import { freesAtOnce, loadThenLock, STEPS } from './load_before_lock.ts';

function reset(pool: ProtocolPool, tree: number, slot: number): number {
  return erase(pool.trees, tree, slot);
}

export const loadReset = {
  name: 'load-reset',
  declaration: {
    about: 'walks the tree without its lock, and if it found something, again with it',
    steps: STEPS,
    refuses: freesAtOnce,
  },
  lockless: true,
  invalidate: loadThenLock(reset),
} as const satisfies InvalidateProtocol;
