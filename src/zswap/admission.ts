/**
 * The limits of memcgs: who may store. The order is the kernel's: from the owner up to the root, which has none. A limit of 0
 * anywhere refuses at once; at a limit the owner is shrunk, whoever's limit it is, and then the store goes on without a second
 * look. But many stores wait here at once, and each is let in only against what left for it:
 *
 *   lane       enter: reserve a page -> below the limits? store -> settle
 *                                    -> else take it back; SHRINK order ..................... store -> settle
 *   shrinker   admit: reserve a page -> below the limits? answer 0
 *                                    -> else write pages back until 4096 bytes are free, answer 0; or take it back
 *
 * A reservation is made in every memcg of the path, limited or not, so that it can be taken back whatever limits are then. It
 * counts as charged, from before the look at the limits, and before the first page leaves, until its store has happened. So
 * of two stores one always sees the other, and room is not given away twice, also where they meet in an ancestor only:
 *   1. a batch makes room for one page   2. a store that does not wait sees the room and takes it   3. one that waits is let in
 * The owner's pages are charged to all its ancestors, so what leaves for a store leaves each limit that it is charged to.
 *
 * What is let in last may begin one byte below a limit: every memcg is charged at most its limit + 4096 bytes, but for pages
 * that are kept raw instead of an error (keepRaw), which nobody lets in, and which have a bound of their own. A limit that
 * is moved while stores are under way holds for those that reserved before they looked: of the others, which found no limit
 * on their path, there is at most one per lane.
 */

import * as errno from '../os/errno.ts';
import { POOL } from '../pool/counters.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { currentOf, limitOf, type Memcgs, ROOT } from '../pool/memcg.ts';
import * as sync from '../shm/sync.ts';
import type { Zswap } from './zswap.ts';

type Tables = Pick<Zswap, 'memcgs'>;

function reserve(t: Memcgs, m: number, stores: 1 | -1): void {
  for (let row = m; row !== ROOT; row = t.parent[row]) sync.add(t.reserved, row, stores);
}

/** The caller has a reservation, which does not count. They are read first, so that what is settled by then is seen as charged. */
function isAtLimit(t: Memcgs, m: number): boolean {
  for (let row = m; row !== ROOT; row = t.parent[row]) {
    const max = t.max[row];
    if (max === Number.POSITIVE_INFINITY) continue;
    const others = sync.load(t.reserved, row) - 1;
    if (others * PAGE_SIZE + currentOf(t, row) >= max) return true;
  }
  return false;
}

/** True: a store may go on, and settle() is to be called once it is over. False: `m` or an ancestor is at its limit. */
export function enter({ memcgs }: Tables, m: number): boolean {
  reserve(memcgs, m, 1);
  if (!isAtLimit(memcgs, m)) return true;
  reserve(memcgs, m, -1);
  return false;
}

/**
 * Lets one store in: 0, and settle() is to be called once it is over; or what `batch` answered when there was nothing to be
 * had. `batch` writes pages of the memcg back, in the thread that `zswap` is for, and answers 0 if it has written any.
 */
export function admit({ memcgs, counters }: Tables & Pick<Zswap, 'counters'>, m: number, batch: () => number): number {
  if (limitOf(memcgs, m) === 0) return -errno.EAGAIN;
  reserve(memcgs, m, 1);
  for (let freed = 0; freed < PAGE_SIZE && isAtLimit(memcgs, m); ) {
    const before = counters[POOL.compressed_bytes];
    // Each batch that answers 0 has taken a writeback buffer, and none comes back meanwhile: that bounds the batches.
    const result = batch();
    if (result !== 0) {
      reserve(memcgs, m, -1);
      return result;
    }
    freed += before - counters[POOL.compressed_bytes];
  }
  return 0;
}

/** The store that was let in has happened, or never will. */
export function settle({ memcgs }: Tables, m: number): void {
  reserve(memcgs, m, -1);
}
