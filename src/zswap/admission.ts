/**
 * A memcg's limit: who may store at it. The order is the kernel's: at the limit shrink first, then store without a second
 * look. But many stores wait here at once, and each is let in only against what left for it:
 *
 *   lane       at the limit -> SHRINK order ............................................... store -> settle
 *   shrinker                    reserve a page -> is there room? else write back -> answer 0, or take the reservation back
 *
 * A reservation counts as charged, from before the first page leaves until its store has happened. Else room would be given
 * away twice:
 *   1. a batch makes room for one page   2. a store that does not wait sees the room and takes it   3. one that waits is let in
 *
 * What is left: each lane may be between its look at the limit and its charge with one page, and one page may be let in
 * beside the last that fits. So a memcg is charged at most its limit + (lanes + 1) pages of 4096 bytes.
 */
import { PAGE_SIZE } from '../pool/limits.ts';
import { C } from '../shm/counters.ts';
import * as sync from '../shm/sync.ts';
import type { PoolView } from './pool_view.ts';

/** `max`: of the memcg, in bytes. `own`: reservations that don't count, because they are the caller's. */
export function isAtLimit({ lru }: Pick<PoolView, 'lru'>, m: number, max: number, own = 0): boolean {
  // Most memcgs have no limit, and then there is nothing to ask.
  return max < Number.MAX_SAFE_INTEGER && lru.charged[m] + (sync.load(lru.reserved, m) - own) * PAGE_SIZE >= max;
}

/**
 * Lets one store in: 0, and settle() is to be called once it is over; or what `batch` answered when there was nothing to be
 * had. `batch` writes pages of the memcg back, in the thread that `zswap` is for, and answers 0 if it has written any.
 */
export function admit(zswap: PoolView, m: number, batch: () => number): number {
  const { counters, settings } = zswap;
  const { max } = settings.memcgs[m];
  sync.add(zswap.lru.reserved, m, 1);
  for (let freed = 0; freed < PAGE_SIZE && isAtLimit(zswap, m, max, 1); ) {
    const before = counters[C.compressed_bytes];
    // Each batch that answers 0 has taken a writeback buffer, and none comes back meanwhile: that bounds the batches.
    const result = batch();
    if (result !== 0) {
      settle(zswap, m);
      return result;
    }
    freed += before - counters[C.compressed_bytes];
  }
  return 0;
}

/** The store that was let in has happened, or never will. */
export function settle({ lru }: Pick<PoolView, 'lru'>, m: number): void {
  sync.add(lru.reserved, m, -1);
}
