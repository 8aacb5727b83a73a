/**
 * Invalidate protocol `empty-check` (Linux 6.13 and later): as `erase`, but an empty tree is seen without its lock.
 *
 * Safe because of E2 and of the order store -> invalidate of one slot: the store's head word was written before the slot's
 * pin was dropped, and whoever invalidates has seen that pin go. It helps when nothing is stored.
 * Discussed: linux-mm, October 2024, "mm/zswap: avoid touching XArray for unnecessary invalidation".
 */
import { isEmpty, treeOf } from '../../pool/tree.ts';
import type { InvalidateProtocol, ProtocolPool } from '../protocol.ts';

function invalidate(pool: ProtocolPool, x: number, slot: number): void {
  if (isEmpty(pool.trees, treeOf(pool.trees, x, slot))) return;
  pool.protocols.entry.invalidate(pool, x, slot);
}

export const emptyCheck = {
  name: 'empty-check',
  declaration: { about: 'looks whether the tree is empty, without its lock, as since Linux 6.13' },
  lockless: false,
  invalidate,
} as const satisfies InvalidateProtocol;
