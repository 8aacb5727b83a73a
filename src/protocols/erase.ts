/**
 * Invalidate protocol `erase` (Linux 6.10 to 6.12): lock the tree, take the entry out, unlock, free it. Always safe.
 * Lock order: tree.lock -> (free) lru.lock -> allocator.
 */
import { NONE } from '../pool/entries.ts';
import { erase as eraseSlot, lockTree, treeOf, unlockTree } from '../pool/tree.ts';
import * as sync from '../shm/sync.ts';
import type { InvalidateProtocol, ProtocolPool } from './protocol.ts';

export function eraseEntry(pool: ProtocolPool, x: number, slot: number): void {
  const { trees } = pool;
  const tree = treeOf(trees, x, slot);
  sync.step('F1: lock');
  lockTree(trees, tree);
  const e = eraseSlot(trees, tree, slot);
  unlockTree(trees, tree);
  sync.step('F1: free');
  if (e !== NONE) pool.free(e);
}

export const erase: InvalidateProtocol = { name: 'erase', invalidate: eraseEntry };
