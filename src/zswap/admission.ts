/**
 * A memcg's limit: who may store at it. The order is the kernel's: at the limit shrink first, then store without a second
 * look. But many stores wait here at once, and each is let in only against what left for it:
 *
 *   lane       enter: reserve a page -> below the limit? store -> settle
 *                                    -> else take it back; SHRINK order ..................... store -> settle
 *   shrinker   admit: reserve a page -> below the limit? answer 0
 *                                    -> else write pages back until 4096 bytes are free, answer 0; or take it back
 *
 * A reservation counts as charged, from before the look at the limit, and before the first page leaves, until its store has
 * happened. So of two stores one always sees the other, and room is not given away twice:
 *   1. a batch makes room for one page   2. a store that does not wait sees the room and takes it   3. one that waits is let in
 *
 * What is let in last may begin one byte below the limit: a memcg is charged at most its limit + 4096 bytes.
 */

import { POOL } from '../pool/counters.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import * as sync from '../shm/sync.ts';
import type { Zswap } from './zswap.ts';

/** Whether memcg `m` has a limit that has to be looked at. */
export function isLimited(max: number): boolean {
  return max < Number.MAX_SAFE_INTEGER;
}

/** The caller has a reservation, which does not count. It is read first, so that what is settled by then is seen as charged. */
function isAtLimit({ lru }: Pick<Zswap, 'lru'>, m: number, max: number): boolean {
  const others = sync.load(lru.reserved, m) - 1;
  return others * PAGE_SIZE + lru.charged[m] >= max;
}

/** True: a store may go on, and settle() is to be called once it is over. False: the memcg is at its limit. */
export function enter(pool: Pick<Zswap, 'lru'>, m: number, max: number): boolean {
  sync.add(pool.lru.reserved, m, 1);
  if (!isAtLimit(pool, m, max)) return true;
  settle(pool, m);
  return false;
}

/**
 * Lets one store in: 0, and settle() is to be called once it is over; or what `batch` answered when there was nothing to be
 * had. `batch` writes pages of the memcg back, in the thread that `zswap` is for, and answers 0 if it has written any.
 */
export function admit(zswap: Zswap, m: number, batch: () => number): number {
  const { counters, settings } = zswap;
  const { max } = settings.memcgs[m];
  sync.add(zswap.lru.reserved, m, 1);
  for (let freed = 0; freed < PAGE_SIZE && isAtLimit(zswap, m, max); ) {
    const before = counters[POOL.compressed_bytes];
    // Each batch that answers 0 has taken a writeback buffer, and none comes back meanwhile: that bounds the batches.
    const result = batch();
    if (result !== 0) {
      settle(zswap, m);
      return result;
    }
    freed += before - counters[POOL.compressed_bytes];
  }
  return 0;
}

/** The store that was let in has happened, or never will. */
export function settle({ lru }: Pick<Zswap, 'lru'>, m: number): void {
  sync.add(lru.reserved, m, -1);
}
