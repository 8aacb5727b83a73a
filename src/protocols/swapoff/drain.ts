/**
 * Swapoff protocol `drain` (as Chris Li wrote it, linux-mm, January 2024): swapoff takes each entry out of its tree, waits
 * until the entries are gone, and then frees the trees. "The tree refcount is effectively the combined refcount of all the
 * zswap entries."
 *
 * Who frees: whoever drops an entry's count to 0; swapoff frees the trees.
 * Lock order: range claim -> tree.lock -> lru.lock -> allocator. It waits with nothing held.
 * Known weakness: writeback takes its reference only after it has dropped the LRU lock (Yosry Ahmed's objection):
 *   1. a: writeback picks slot n   2. swapoff clears n   3. its entry is freed   4. the drain sees no entry
 *   5. the tree is freed   6. b: writeback locks it
 */
import { countUnderLock } from '../counts.ts';
import type { ProtocolPool, SwapoffProtocol } from '../protocol.ts';
import {
  discardSlice,
  freeAll,
  freesTooEarly,
  holdNothing,
  needsCounts,
  releaseNothing,
  waitForEntries,
} from './free_trees.ts';

function freeTrees(pool: ProtocolPool, x: number): void {
  waitForEntries(pool, x);
  freeAll(pool, x);
}

export const drain = {
  name: 'drain',
  declaration: {
    about: 'waits until all entries are gone, as was proposed in 2024',
    refuses: needsCounts,
    weakness: freesTooEarly,
  },
  countsEntries: true,
  hold: holdNothing,
  release: releaseNothing,
  count: countUnderLock,
  discard: discardSlice,
  freeTrees,
} as const satisfies SwapoffProtocol;
