/**
 * What the background shrinker leaves in a list: a number per memcg, beside the list and under its lock.
 *
 *   protected      nr_zswap_protected: an entry more for each that is added to the list, or added again by a load of 6.8, or put
 *                  back, halved where it comes to more than a quarter of the list (lru.ts; not when one is put back), and one more
 *                  for each page that comes back from the image
 *   second-chance  nr_disk_swapins: one more for each page that comes back from the image, until a count takes them away
 *
 * The kernel changes them by atomic operations and without the lock. Here a page that comes back has waited for its image, and
 * everything else has the lock already.
 */
import * as sync from '../shm/sync.ts';
import { type Lru, lockList } from './lru.ts';
import type { Heuristic } from './policies.ts';

/** zswap_folio_swapin: pages that were stored for memcg `m` had to come from the image, so too much had been written back. */
export function noteSwapins(lru: Lru, m: number, pages: number): void {
  const row = lockList(lru, m);
  lru.heldBack[row] += pages;
  sync.unlock(lru.lock, row);
}

/**
 * zswap_shrinker_count: entries of list `m` that its heuristic lets go. Of second-chance each page that came back counts once. The
 * kernel multiplies that by how the list compresses, because its reclaim compares caches by the pages that are had from them. Here
 * lists are compared with nothing, and what is made of the count is a number of entries (background.ts).
 */
export function countShrinkable(lru: Lru, m: number, heuristic: Heuristic): number {
  if (heuristic === 'none') return lru.count[m];
  sync.lock(lru.lock, m);
  const entries = lru.count[m];
  const held = Math.min(entries, lru.heldBack[m]);
  if (heuristic === 'second-chance') lru.heldBack[m] -= held;
  sync.unlock(lru.lock, m);
  return entries - held;
}

/** zswap_shrinker_scan of 6.8: a scan of so many entries would reach what is protected. */
export function reachesProtected(lru: Lru, m: number, heuristic: Heuristic, toScan: number): boolean {
  if (heuristic !== 'protected') return false;
  sync.lock(lru.lock, m);
  const reaches = lru.heldBack[m] >= lru.count[m] - toScan;
  sync.unlock(lru.lock, m);
  return reaches;
}
