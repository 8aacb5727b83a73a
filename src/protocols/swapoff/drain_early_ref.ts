/**
 * Swapoff protocol `drain-early-ref` (Chris Li's rules 1 to 3, linux-mm, January 2024): as `drain`, but counts are atomic
 * and writeback takes its reference under the LRU lock, unless the count is 0 already; swapoff passes through every LRU
 * lock before it looks.
 *
 *   hold        lru.lock { count not 0: + 1 } ... the writeback, with whatever references it takes itself
 *   release     - 1, after the last look at the tree
 *   free        - 1 -> 0; lru.lock { unlink }; free
 *   swapoff     discard all; for each list { lru.lock; unlock }; wait until no entry is alive; free the trees
 *
 * An entry that is alive keeps its export's trees, so the early reference is what keeps the tree: it goes after the tree's
 * lock. Because it is taken and dropped without that lock, all changes of a count are atomic.
 *
 * Who frees: whoever drops an entry's count to 0; swapoff frees the trees. Lock order: as `drain`; it waits with nothing
 * held. Known weakness: none in safety; a writeback that hangs makes swapoff wait with it.
 */
import { checkLive } from '../../pool/entries.ts';
import { TABLE } from '../../pool/memcg.ts';
import * as sync from '../../shm/sync.ts';
import type { ProtocolPool, SwapoffProtocol } from '../protocol.ts';
import { discardSlice, freeAll, needsCounts, waitForEntries } from './free_trees.ts';

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

function release(pool: ProtocolPool, _tree: number, e: number): void {
  if (count(pool, e, -1) === 0) pool.free(e);
}

function count({ entries }: ProtocolPool, e: number, by: number): number {
  checkLive(entries, e);
  return sync.add(entries.state, e, by) + by;
}

function freeTrees(pool: ProtocolPool, x: number): void {
  const { lock, memcgs } = pool.lru;
  sync.step('SO: lru');
  // Whoever picked an entry under a lock has its reference once we have had that lock.
  for (let m = 0; m < memcgs.control[TABLE.END]; m++) {
    sync.lock(lock, m);
    sync.unlock(lock, m);
  }
  waitForEntries(pool, x);
  freeAll(pool, x);
}

export const drainEarlyRef = {
  name: 'drain-early-ref',
  declaration: {
    about: 'as drain, with a reference that writeback takes under the LRU lock',
    steps: { 'SO: lru': 'swapoff passes through every LRU lock' },
    refuses: needsCounts,
  },
  countsEntries: true,
  hold,
  release,
  count,
  discard: discardSlice,
  freeTrees,
} as const satisfies SwapoffProtocol;
