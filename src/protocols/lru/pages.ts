/**
 * `protocol.lru: allocator` (Linux 3.11 to 6.4): the allocator has the list that reclaim goes by, and it is one of pages, in
 * the order in which they were stored to, whoever's they are. What leaves the pool is not an entry but a page: each object of
 * it is evicted by its handle. The allocator knows nothing of slots, so an object begins with a label that names its own;
 * writeback reads it, and looks up what the tree has there now.
 *
 *   RC: page    the oldest page is claimed: it is on no list any more, so that nobody stores to it
 *   RC: label   for each object: its label is read, and what is stored at that slot is written back (W1 to W5)
 *   then the page is freed if it is empty, else it becomes the newest, and another is tried: eight in all
 *
 * Who frees: the entry protocol its entries, reclaim or the last free the page. Lock order: none is held while it evicts.
 * Known weakness:
 *   - An object is on the list before its label is written (ST: label): what was there before is taken for one. The tree is
 *     asked in any case, so a slot that it names by chance loses its page to the image, no more; a swap device that is not
 *     there is where the kernel would have met a null pointer, and here ends the process.
 *   - z3fold of 5.11 to 5.18, and to 4.19: the two switches. The first came with "z3fold: stricter locking and more careful
 *     reclaim" (December 2020), before which the page was locked first, and went with "mm/z3fold: fix z3fold_reclaim_page races
 *     with z3fold_free" (linux-mm, April 2022); the second went with "z3fold: fix possible reclaim races" (November 2018).
 * A page that holds a warm object beside a cold one goes as a whole; memcgs have no say in it, and at their limits a store is
 * rejected, as it was up to 6.7. Who asks for it, when the pool is full: shrinker.reclaimer.
 */
import { type Objects, RECLAIM, type ReclaimResult } from '../../pool/allocator/index.ts';
import type { LruKind } from '../../pool/policies.ts';
import * as sync from '../../shm/sync.ts';
import type { BreakingSwitch } from '../declaration.ts';
import { EVICT, type Evict, type ProtocolPool } from '../protocol.ts';
import { on } from '../switches.ts';

export const LRU_TEXTS: Readonly<Record<LruKind, string>> = {
  entries: 'each entry is on the list of its memcg, as in the kernel since 6.5',
  allocator:
    'zbud or z3fold has a list of its pages, and each object of the oldest is evicted, as in Linux 3.11 to 6.4',
};

const earlyReference = {
  name: 'earlyReference',
  default: false,
  about:
    'z3fold with lru allocator: reclaim takes its reference to a page before its lock, as in Linux 5.11 to 5.18. Needs unsafe.',
  breaks:
    'reclaim of z3fold may drop the last reference to a page under the lock that freeing it takes: deadlock, exit 70',
} as const satisfies BreakingSwitch;

const placeByChunks = {
  name: 'placeByChunks',
  default: false,
  about:
    'z3fold with lru allocator: reclaim tells where an object is by how many chunks its page says it has, and not by its handle, as before Linux 4.20. Needs unsafe.',
  breaks: 'reclaim of z3fold reads the label of an object that was freed behind the end of its page: use after free',
} as const satisfies BreakingSwitch;

export const LRU_SWITCHES = [earlyReference, placeByChunks] as const;

export const LRU_STEPS = {
  'RC: page': 'reclaim takes the oldest page of the allocator, and tries others if it stays',
  'RC: label': 'reclaim reads of an object of the page which slot it is of',
  'ST: label': 'a store writes into its object which slot it is of',
} as const;

/** Pages that are tried for one that is freed, as zswap asked of its allocators. */
const TRIES = 8;

/** Whether what a label names may be evicted. */
export type MayEvict = (x: number, slot: number) => Evict;

interface Evicting {
  readonly pool: ProtocolPool;
  readonly mayEvict: MayEvict;
}

/** Writes a page of the allocator back, whatever it holds. Counts of what was written are kept where it is written. */
export function shrinkPage(pool: ProtocolPool, mayEvict: MayEvict): ReclaimResult {
  const { pages } = pool.objects;
  if (pages === null) return RECLAIM.NONE;
  sync.step('RC: page');
  return pages.reclaimPage(TRIES, on(pool, earlyReference), evictAt, { pool, mayEvict });
}

/** zswap_writeback_entry: true where nothing is left of what was stored at `place`, as far as writeback knows. */
function evictAt({ pool, mayEvict }: Evicting, place: number): boolean {
  const { pages } = pool.objects;
  const { entry, busy } = pool.protocols;
  if (pages === null || entry.evict === undefined) return false;
  sync.step('RC: label');
  pages.readLabel(place, on(pool, placeByChunks));
  const { labelX, labelSlot } = pages;
  const may = mayEvict(labelX, labelSlot);
  if (may !== EVICT.YES) return may === EVICT.NOTHING;
  return entry.evict(pool, labelX, labelSlot, busy);
}

/** Says in a mapped object which slot it is of. */
export function labelObject({ pages }: Objects, e: number, x: number, slot: number): void {
  if (pages === null) return;
  sync.step('ST: label');
  pages.label(e, x, slot);
}
