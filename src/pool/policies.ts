/** How the shrinker chooses: names that the config, the pool and the shrinker share. */

/**
 * What keeps warm pages in the pool.
 *   none           the coldest entry goes, whatever was loaded
 *   protected      6.8 to 6.11: the background shrinker leaves so many entries of each list alone; limits do not ask
 *   second-chance  since 6.12: a walk passes an entry by once, and the background shrinker takes back what came back
 */
export const HEURISTICS = ['none', 'protected', 'second-chance'] as const;
export type Heuristic = (typeof HEURISTICS)[number];

/** What becomes of a page whose slot is free in the guest (dead.ts). */
export const DEAD_POLICIES = ['ignore', 'first', 'last', 'drop'] as const;
export type DeadPolicy = (typeof DEAD_POLICIES)[number];

/** Which memcg comes next (zswap/cursor.ts). */
export const CURSORS = ['fixed', 'legacy'] as const;
export type CursorKind = (typeof CURSORS)[number];

/** What reclaim goes by (protocols/lru/pages.ts). */
export const LRU_KINDS = ['entries', 'allocator'] as const;
export type LruKind = (typeof LRU_KINDS)[number];

/**
 * Who makes room in a full pool.
 *   worker  since 5.7: stores are rejected until the shrinker has come down to the threshold
 *   store   before: each store that finds the pool full has a page of the allocator reclaimed, and is stored then
 */
export const RECLAIMERS = ['worker', 'store'] as const;
export type Reclaimer = (typeof RECLAIMERS)[number];

export interface ShrinkerPolicy {
  readonly heuristic: Heuristic;
  readonly cursor: CursorKind;
  /** Victims of one walk. */
  readonly batch: number;
  readonly reclaimer: Reclaimer;
}
