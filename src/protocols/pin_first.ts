/**
 * Swapoff protocol `pin-first` (Linux 6.9 and later): nothing special is needed, because writeback touches a tree only
 * while it holds a pin, and swapoff's own draining of slots waits for every pin.
 *
 *   1. writeback copies slot n   2. swapoff claims the slice: n can't be pinned any more, old pins are waited for
 *   3. writeback's pin attempt fails before it touches the tree   4. swapoff discards n
 *
 * Who frees: swapoff, through the invalidate protocol. Lock order: range claim -> tree.lock -> lru.lock -> allocator.
 */
import { isEmpty, treeOf } from '../pool/tree.ts';
import * as sync from '../shm/sync.ts';
import type { InvalidateProtocol, ProtocolPool, SwapoffProtocol } from './protocol.ts';

function discard(pool: ProtocolPool, x: number, first: number, end: number, invalidate: InvalidateProtocol): void {
  sync.step('S4: discard');
  // A slice never crosses a tree's edge: both are powers of two, and slices are aligned.
  if (isEmpty(pool.trees, treeOf(pool.trees, x, first))) return;
  for (let slot = first; slot < end; slot++) invalidate.invalidate(pool, x, slot);
}

export const pinFirst: SwapoffProtocol = { name: 'pin-first', discard };
