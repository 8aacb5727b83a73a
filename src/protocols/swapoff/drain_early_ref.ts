/**
 * Swapoff protocol `drain-early-ref` (Chris Li's rules 1 to 3, linux-mm, January 2024): as `drain`, but counts are atomic
 * and writeback takes its reference under the LRU lock, unless the count is 0 already; swapoff passes through every LRU
 * lock before it looks.
 *
 *   writeback   lru.lock { count not 0: + 1, isolate } ... last: - 1
 *   free        - 1 -> 0; lru.lock { unlink }; free
 *   swapoff     discard all; for each list { lru.lock; unlock }; wait until no entry is alive; free the trees
 *
 * Who frees: whoever drops an entry's count to 0; swapoff frees the trees. Lock order: as `drain`; it waits with nothing
 * held. Known weakness: none in safety; a writeback that hangs makes swapoff wait with it.
 */
import { checkLive } from '../../pool/entries.ts';
import * as sync from '../../shm/sync.ts';
import type { ProtocolPool, SwapoffProtocol } from '../protocol.ts';
import { discardSlice, freeAll, waitForEntries } from './free_trees.ts';

function hold(pool: ProtocolPool, _tree: number, e: number): boolean {
  const { state } = pool.entries;
  checkLive(pool.entries, e);
  for (let refs = sync.load(state, e); refs > 0; ) {
    const found = sync.cas(state, e, refs, refs + 1);
    if (found === refs) return true;
    refs = found;
  }
  return false;
}

function freeTrees(pool: ProtocolPool, x: number): void {
  const { lock } = pool.lru;
  sync.step('SO: lru');
  // Whoever picked an entry under a lock has its reference once we have had that lock.
  for (let m = 0; m < lock.length; m++) {
    sync.lock(lock, m);
    sync.unlock(lock, m);
  }
  waitForEntries(pool, x);
  freeAll(pool, x);
}

export const drainEarlyRef: SwapoffProtocol = {
  name: 'drain-early-ref',
  countsEntries: true,
  earlyRef: true,
  hold,
  release: () => {},
  discard: discardSlice,
  freeTrees,
};
