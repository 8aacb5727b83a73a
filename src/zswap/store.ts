/**
 * Store of a page, in the order of mm/zswap.c. The caller holds the slot's pin.
 *
 *   enabled? -> limits (memcg, then pool) -> same-filled? -> compress -> allocate -> copy -> publish (drops the old entry)
 *
 * Nothing here waits for I/O or for another request, throws, or allocates per page beyond one view per zstd call.
 */
import { nowMicros } from '../os/clock.ts';
import { touch } from '../pool/access_time.ts';
import { ownerOf } from '../pool/attribution.ts';
import { clearBit, setBit } from '../pool/bits.ts';
import { COMPRESS_FAILED } from '../pool/codec.ts';
import { POOL } from '../pool/counters.ts';
import { allocEntry, freeEntry, KEPT, LENGTH_SAME_FILLED, NONE } from '../pool/entries.ts';
import { limitedTotal } from '../pool/limited_total.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { limitOf } from '../pool/memcg.ts';
import { hasAgent } from '../pool/owners.ts';
import { CTL, WORK } from '../pool/shared.ts';
import { get, lockTree, treeOf, unlockTree } from '../pool/tree.ts';
import { labelObject } from '../protocols/lru/pages.ts';
import { sum } from '../shm/counters.ts';
import * as sync from '../shm/sync.ts';
import { enter, settle } from './admission.ts';
import { C } from './counters.ts';
import { countEntry } from './entry_counts.ts';
import { requestWork } from './orders.ts';
import { noteHeader } from './swap_header.ts';
import type { Zswap } from './zswap.ts';

/** The page is in the pool. */
export const STORED = 0;
/** The pool does not take the page: it goes to the image. */
export const REJECTED = 1;
/** The memcg is at its limit: shrink it, then store again with `checked`. */
export const OVER_LIMIT = 2;

/** The pool is full, and a page of its allocator is to be reclaimed: then store again with `checked`. */
export const POOL_FULL = 3;

/**
 * Stores src[at, at + 4096) at a pinned slot, whose record is `r`. `checked`: the limits of its memcg were dealt with, and
 * `m` is that memcg, which is held to, whatever the slot's is by now.
 * Past the limits the page counts as being in place: who waits for the pin's page waits no longer.
 */
export function store(
  zswap: Zswap,
  x: number,
  slot: number,
  src: Uint8Array,
  at: number,
  checked: boolean,
  r = 0,
  m = ownerOf(zswap.memcgs, x, slot),
): number {
  const { counters, memcgs } = zswap;
  if (slot === 0 && !checked) noteHeader(zswap.shared, counters, x, src.subarray(at, at + PAGE_SIZE));
  if (checked) return storeNoted(zswap, x, slot, src, at, r, m, true);
  // As in the kernel nothing counts it, and the older page of the slot goes when this one is on the image.
  if (zswap.settings.enabled === false) return REJECTED;
  const max = limitOf(memcgs, m);
  if (max === Number.POSITIVE_INFINITY) return storeNoted(zswap, x, slot, src, at, r, m);
  if (max === 0) {
    counters[C.reject_memcg_limit]++;
    return REJECTED;
  }
  if (!enter(zswap, m)) return OVER_LIMIT;
  const result = storeNoted(zswap, x, slot, src, at, r, m);
  settle(zswap, m);
  return result;
}

function storeNoted(
  zswap: Zswap,
  x: number,
  slot: number,
  src: Uint8Array,
  at: number,
  r: number,
  m: number,
  checked = false,
): number {
  const result = tryStore(zswap, x, slot, src, at, r, m, checked);
  if (result === STORED) zswap.sums.note(x, slot, zswap.codec.sum);
  return result;
}

function tryStore(
  zswap: Zswap,
  x: number,
  slot: number,
  src: Uint8Array,
  at: number,
  r: number,
  m: number,
  checked: boolean,
): number {
  const { settings, counters } = zswap;
  const inStore = settings.reclaimer === 'store';
  if (!inStore && poolIsFull(zswap)) {
    counters[C.reject_pool_limit]++;
    return rejectShort(zswap, WORK.POOL);
  }
  if (zswap.protocols.busy.waits && r > 0) zswap.slots.fill(r);
  // The page is in its place by now, as in the kernel's swap cache: reclaim does not wait for the store that waits for it.
  if (inStore && !checked && limitedTotal(zswap.shared) >= settings.poolBytes) {
    counters[C.pool_limit_hit]++;
    return POOL_FULL;
  }
  return storePage(zswap, x, slot, m, src.subarray(at, at + PAGE_SIZE), settings.storeIncompressible);
}

/** Compresses and publishes, whatever the limits say. */
function storePage(
  zswap: Zswap,
  x: number,
  slot: number,
  m: number,
  page: Uint8Array,
  incompressible: boolean,
): number {
  const { settings, counters } = zswap;
  if (settings.sameFilled && zswap.codec.isSameFilled(page) && takesFilled(zswap)) {
    return storeFilled(zswap, x, slot, m, zswap.codec.fillWord);
  }
  const { faults } = zswap;
  const bytes = faults === null ? zswap.codec.compress(page) : faults.compress(x, slot, page);
  if (bytes === COMPRESS_FAILED) {
    counters[C.reject_compress_fail]++;
    return REJECTED;
  }
  if (bytes < zswap.objects.poorBytes) return storeObject(zswap, x, slot, m, zswap.codec.object(bytes));
  if (incompressible && zswap.objects.lengthMax >= PAGE_SIZE) return storeObject(zswap, x, slot, m, page);
  counters[C.reject_compress_poor]++;
  // Here we ask for more than the kernel does, which waits for the limit: whoever sends such a page is short of memory, and
  // above the threshold there is something to be made ready for his next one.
  return limitedTotal(zswap.shared) > settings.acceptBytes ? rejectShort(zswap, WORK.POOL) : REJECTED;
}

/**
 * Stores a page once more that is stored already, as an entry that no running writeback knows of. Above the limits by at
 * most zswap page. Pin held.
 */
export function storeAgain(zswap: Zswap, x: number, slot: number, page: Uint8Array): number {
  return storePage(zswap, x, slot, ownerOf(zswap.memcgs, x, slot), page, true);
}

/**
 * Stores a page raw because its memcg may not write back; REJECTED beyond the bound on such pages, unless it takes the place of
 * one: both are there for a moment, and there is room for that of each thread. The pin is held.
 */
export function storeRaw(zswap: Zswap, x: number, slot: number, src: Uint8Array, at: number): number {
  if (zswap.objects.lengthMax < PAGE_SIZE) return REJECTED;
  // Lanes that look at the same moment may exceed the bound by a page each.
  const pages = sync.load(zswap.shared.control, CTL.KEPT_RAW) + 1;
  if (pages * PAGE_SIZE > zswap.settings.rawMaxBytes && !isKept(zswap, x, slot)) return REJECTED;
  const m = ownerOf(zswap.memcgs, x, slot);
  const page = src.subarray(at, at + PAGE_SIZE);
  const result = storeObject(zswap, x, slot, m, page, true);
  if (result === STORED) zswap.sums.note(x, slot, zswap.codec.sumOf(page));
  return result;
}

function isKept({ trees, entries }: Zswap, x: number, slot: number): boolean {
  const tree = treeOf(trees, x, slot);
  lockTree(trees, tree);
  const e = get(trees, tree, slot);
  const kept = e !== NONE && entries.length[e] === PAGE_SIZE && entries.fill[e] === KEPT;
  unlockTree(trees, tree);
  return kept;
}

/** zswap_check_limits: full from the limit on, until the total is down at the accept threshold. */
function poolIsFull(zswap: Zswap): boolean {
  const { control } = zswap.shared;
  const total = limitedTotal(zswap.shared);
  const full = sync.load(control, CTL.FULL) === 1;
  if (total >= zswap.settings.poolBytes) {
    zswap.counters[C.pool_limit_hit]++;
    if (!full) sync.store(control, CTL.FULL, 1);
    return true;
  }
  if (full && total <= zswap.settings.acceptBytes) {
    sync.store(control, CTL.FULL, 0);
    return false;
  }
  return full;
}

/**
 * Same-filled pages are charged to nobody and on no list, so nothing makes them leave. Those of one export could take every
 * entry from all others; beyond their part such a page is compressed, charged and written back like any other.
 */
function takesFilled(zswap: Zswap): boolean {
  const { filledMax, counters } = zswap.shared;
  return filledMax === Number.POSITIVE_INFINITY || sum(counters, POOL.same_filled_pages) < filledMax;
}

function storeFilled(zswap: Zswap, x: number, slot: number, m: number, word: number): number {
  const e = allocEntry(zswap.entries, leftToRaw(zswap));
  if (e === NONE) return rejectEntry(zswap);
  zswap.entries.fill[e] = word;
  return publish(zswap, e, x, slot, m, LENGTH_SAME_FILLED);
}

/** Entries that pages kept raw have not used yet, of a table that others could fill. */
function leftToRaw({ shared }: Zswap): number {
  return shared.rawEntries === 0 ? 0 : Math.max(0, shared.rawEntries - sync.load(shared.control, CTL.KEPT_RAW));
}

/** `kept`: by storeRaw. */
function storeObject(zswap: Zswap, x: number, slot: number, m: number, object: Uint8Array, kept = false): number {
  const { objects } = zswap;
  const bytes = object.length;
  const e = allocEntry(zswap.entries, kept ? 0 : leftToRaw(zswap));
  if (e === NONE) return rejectEntry(zswap);
  if (zswap.faults?.allocFails(x, slot) === true || !objects.alloc(e, bytes)) {
    freeEntry(zswap.entries, e);
    zswap.counters[C.reject_alloc_fail]++;
    return rejectShort(zswap, WORK.POOL);
  }
  labelObject(objects, e, x, slot);
  objects.segment(e).set(object, objects.offset(e));
  objects.unmap(e);
  if (bytes === PAGE_SIZE) zswap.entries.fill[e] = kept ? KEPT : 0;
  return publish(zswap, e, x, slot, m, bytes);
}

function publish(zswap: Zswap, e: number, x: number, slot: number, m: number, bytes: number): number {
  const { entries, counters, shared } = zswap;
  entries.slot[e] = slot;
  entries.volume[e] = x;
  entries.memcg[e] = m;
  entries.length[e] = bytes;
  if (hasAgent(zswap.memcgs.owners, x)) entries.stamp[e] = nowMicros();
  // As in the kernel, a fresh page gets its second chance: the first walk passes it by.
  entries.referenced[e] = 1;
  touch(shared.clock, entries, e);
  // Writeback asks for users before it touches the entry, so the bit is set before the entry can be found.
  setBit(shared.users, x, slot);
  const counted = zswap.protocols.swapoff.countsEntries;
  if (counted) sync.add(zswap.live, x, 1);
  if (!zswap.protocols.entry.publish(zswap, e)) {
    if (counted) sync.add(zswap.live, x, -1);
    if (bytes > 0) zswap.objects.free(e, bytes);
    freeEntry(entries, e);
    return rejectEntry(zswap);
  }
  clearBit(shared.lost, x, slot);
  zswap.noteDirty(x, slot);
  counters[C.zswpout]++;
  countEntry(zswap, e, bytes, x, 1);
  return STORED;
}

function rejectEntry(zswap: Zswap): number {
  zswap.counters[C.reject_kmemcache_fail]++;
  return rejectShort(zswap, WORK.ENTRIES);
}

/** There is no room now, but the shrinker can make some. */
function rejectShort(zswap: Zswap, what: number): number {
  requestWork(zswap.shared, what);
  return REJECTED;
}
