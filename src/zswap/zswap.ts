/**
 * One thread's zswap: store and load of a page, in the order of mm/zswap.c. The caller holds the slot's pin.
 *
 *   store: limits (memcg, then pool) -> same-filled? -> compress -> allocate -> copy -> publish (drops the old entry)
 *   load:  page in writeback ?? entry ?? image ?? zeros, in that order; the image is the caller's, because it must wait
 *
 * Nothing here waits for I/O or for another request, throws, or allocates per page beyond one view per zstd call.
 */

import { allocator } from '../pool/allocator/index.ts';
import { clearBit, setBit, testBit } from '../pool/bits.ts';
import { COMPRESS_FAILED, POOR_BYTES } from '../pool/codec.ts';
import { POOL } from '../pool/counters.ts';
import { setDirty } from '../pool/dirty.ts';
import { allocEntry, freeEntry, LENGTH_SAME_FILLED, NONE } from '../pool/entries.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { CTL, type Shared, WORK } from '../pool/shared.ts';
import { LOAD_EIO, LOAD_OK, type Protocols } from '../protocols/protocol.ts';
import { sum } from '../shm/counters.ts';
import * as sync from '../shm/sync.ts';
import { enter, isLimited, settle } from './admission.ts';
import { C } from './counters.ts';
import { Oracle } from './oracle.ts';
import { requestWork } from './orders.ts';
import { PoolView } from './pool_view.ts';
import { noteHeader } from './swap_header.ts';

/** The page is in the pool. */
export const STORED = 0;
/** The pool does not take the page: it goes to the image. */
export const REJECTED = 1;
/** The memcg is at its limit: shrink it, then store again with `checked`. */
export const OVER_LIMIT = 2;

/** load(): the bytes are in place. */
export const LOADED = 0;
/** load(): neither page nor entry; the image has it. */
export const ON_IMAGE = 1;
/** load(): the entry does not decompress, the page is not the one last stored, or the slot is lost. */
export const LOAD_FAILED = 2;
/** What fetch() says instead of LOAD_FAILED. */
const LOST = 3;
const UNREADABLE = 4;
const STALE = 5;

export class Zswap extends PoolView {
  /** Compares what is read with what was stored (`debug.oracle`); null in ordinary service. */
  readonly oracle: Oracle | null;

  constructor(shared: Shared, protocols: Protocols, thread: number) {
    super(shared, protocols, thread);
    this.oracle = shared.sums === null ? null : new Oracle(shared.sums);
  }

  /**
   * Stores src[at, at + 4096) at a pinned slot, whose record is `r`. `checked`: the memcg's limit was dealt with.
   * Past the limits the page counts as being in place: who waits for the pin's page waits no longer.
   */
  store(x: number, slot: number, src: Uint8Array, at: number, checked: boolean, r = 0): number {
    const { settings, counters } = this;
    const m = settings.exports[x].memcg;
    const { max } = settings.memcgs[m];
    if (slot === 0 && !checked) noteHeader(this.shared, counters, x, src.subarray(at, at + PAGE_SIZE));
    if (checked || !isLimited(max)) return this.storeNoted(x, slot, src, at, r);
    if (max === 0) {
      counters[C.reject_memcg_limit]++;
      return REJECTED;
    }
    if (!enter(this, m, max)) return OVER_LIMIT;
    const result = this.storeNoted(x, slot, src, at, r);
    settle(this, m);
    return result;
  }

  private storeNoted(x: number, slot: number, src: Uint8Array, at: number, r: number): number {
    const result = this.tryStore(x, slot, src, at, r);
    if (this.oracle !== null && result === STORED) this.oracle.note(x, slot, src, at);
    return result;
  }

  private tryStore(x: number, slot: number, src: Uint8Array, at: number, r: number): number {
    const { settings, counters } = this;
    const m = settings.exports[x].memcg;
    if (this.poolIsFull()) {
      counters[C.reject_pool_limit]++;
      return this.rejectShort(WORK.POOL);
    }
    if (this.protocols.busy.waits && r > 0) this.slots.fill(r);
    return this.storePage(x, slot, m, src.subarray(at, at + PAGE_SIZE), settings.storeIncompressible);
  }

  /** Compresses and publishes, whatever the limits say. */
  private storePage(x: number, slot: number, m: number, page: Uint8Array, incompressible: boolean): number {
    const { settings, counters } = this;
    if (settings.sameFilled && this.codec.isSameFilled(page) && this.takesFilled()) {
      return this.storeFilled(x, slot, m, this.codec.fillWord);
    }
    const bytes = this.codec.compress(page);
    if (bytes === COMPRESS_FAILED) {
      counters[C.reject_compress_fail]++;
      return REJECTED;
    }
    if (bytes < POOR_BYTES) return this.storeObject(x, slot, m, this.codec.object(bytes));
    if (incompressible) return this.storeObject(x, slot, m, page);
    counters[C.reject_compress_poor]++;
    // Here we ask for more than the kernel does, which waits for the limit: whoever sends such a page is short of memory, and
    // above the threshold there is something to be made ready for his next one.
    return allocator.total(this.shared.zs) > settings.acceptBytes ? this.rejectShort(WORK.POOL) : REJECTED;
  }

  /**
   * Stores a page once more that is stored already, as an entry that no running writeback knows of. Above the limits by at
   * most this page. Pin held.
   */
  storeAgain(x: number, slot: number, page: Uint8Array): number {
    return this.storePage(x, slot, this.settings.exports[x].memcg, page, true);
  }

  /** Stores a page raw because its memcg may not write back; REJECTED beyond the bound on such pages. */
  storeRaw(x: number, slot: number, src: Uint8Array, at: number): number {
    // Lanes that look at the same moment may exceed the bound by a page each.
    const pages = sync.load(this.shared.control, CTL.RAW_PAGES) + 1;
    if (pages * PAGE_SIZE > this.settings.rawMaxBytes) return REJECTED;
    const result = this.storeObject(x, slot, this.settings.exports[x].memcg, src.subarray(at, at + PAGE_SIZE));
    if (this.oracle !== null && result === STORED) this.oracle.note(x, slot, src, at);
    return result;
  }

  /**
   * Copies a pinned slot's content to dst[at..] unless the image has it. `r` is its record. What goes wrong is counted, so
   * this is for callers that answer it.
   */
  load(r: number, x: number, slot: number, dst: Uint8Array, at: number): number {
    const found = this.fetch(r, x, slot, dst, at);
    if (found <= ON_IMAGE) return found;
    if (found === UNREADABLE) this.counters[C.decompress_fail]++;
    else if (found === STALE) this.counters[C.oracle_mismatch]++;
    return LOAD_FAILED;
  }

  /** As load, for a caller that comes again with load() for whatever is not LOADED: no failure is counted. */
  fetch(r: number, x: number, slot: number, dst: Uint8Array, at: number): number {
    const { shared, counters } = this;
    if (testBit(shared.lost, x, slot)) return LOST;
    const buffer = this.slots.t.page[r];
    if (buffer !== 0) {
      dst.set(this.page(buffer), at);
      counters[C.zswpin]++;
      return this.isStale(x, slot, dst, at) ? STALE : LOADED;
    }
    if (!this.hasTrees(x)) return ON_IMAGE;
    const result = this.protocols.entry.load(this, x, slot, dst.subarray(at, at + PAGE_SIZE));
    if (result === LOAD_OK) {
      counters[C.zswpin]++;
      return this.isStale(x, slot, dst, at) ? STALE : LOADED;
    }
    return result === LOAD_EIO ? UNREADABLE : ON_IMAGE;
  }

  private isStale(x: number, slot: number, dst: Uint8Array, at: number): boolean {
    return this.oracle !== null && !this.oracle.agrees(x, slot, dst, at);
  }

  /** Whether a page that came from the image is the one last acknowledged. True without an oracle. */
  agrees(x: number, slot: number, dst: Uint8Array, at: number): boolean {
    if (!this.isStale(x, slot, dst, at)) return true;
    this.counters[C.oracle_mismatch]++;
    return false;
  }

  /** Frees what is stored at a slot that nobody uses any more (TRIM, WRITE_ZEROES). The caller claimed its range. */
  invalidate(x: number, slot: number): void {
    clearBit(this.shared.users, x, slot);
    clearBit(this.shared.lost, x, slot);
    this.erase(x, slot);
    this.slots.dropPageOf(x, slot);
    this.noteDirty(x, slot);
    this.oracle?.forget(x, slot);
    this.counters[C.invalidates]++;
  }

  /** Strict durability: what the slot holds, or its image, has changed. Pin or claim held, request not yet answered. */
  noteDirty(x: number, slot: number): void {
    const { dirty } = this.shared;
    if (dirty !== null) setDirty(dirty, x, slot);
  }

  /** After a rejected page reached the image: forgets what the slot held before. Pin held. */
  dropOld(r: number, x: number, slot: number): void {
    this.protocols.entry.drop(this, x, slot);
    this.slots.dropPage(r);
    clearBit(this.shared.lost, x, slot);
  }

  /** zswap_check_limits: full from the limit on, until the total is down at the accept threshold. */
  private poolIsFull(): boolean {
    const { control, zs } = this.shared;
    const total = allocator.total(zs);
    const full = sync.load(control, CTL.FULL) === 1;
    if (total >= this.settings.poolBytes) {
      this.counters[C.pool_limit_hit]++;
      if (!full) sync.store(control, CTL.FULL, 1);
      return true;
    }
    if (full && total <= this.settings.acceptBytes) {
      sync.store(control, CTL.FULL, 0);
      return false;
    }
    return full;
  }

  /**
   * Same-filled pages are charged to nobody and on no list, so nothing makes them leave. Those of one export could take every
   * entry from all others; beyond their part such a page is compressed, charged and written back like any other.
   */
  private takesFilled(): boolean {
    const { filledMax, counters } = this.shared;
    return filledMax === Number.POSITIVE_INFINITY || sum(counters, POOL.same_filled_pages) < filledMax;
  }

  private storeFilled(x: number, slot: number, m: number, word: number): number {
    const e = allocEntry(this.entries);
    if (e === NONE) return this.rejectEntry();
    this.entries.fill[e] = word;
    return this.publish(e, x, slot, m, LENGTH_SAME_FILLED);
  }

  private storeObject(x: number, slot: number, m: number, object: Uint8Array): number {
    const { objects } = this;
    const bytes = object.length;
    const e = allocEntry(this.entries);
    if (e === NONE) return this.rejectEntry();
    if (!objects.alloc(e, bytes)) {
      freeEntry(this.entries, e);
      this.counters[C.reject_alloc_fail]++;
      return this.rejectShort(WORK.POOL);
    }
    objects.segment(e).set(object, objects.offset(e));
    objects.unmap(e);
    return this.publish(e, x, slot, m, bytes);
  }

  private publish(e: number, x: number, slot: number, m: number, bytes: number): number {
    const { entries, counters, shared } = this;
    entries.slot[e] = slot;
    entries.volume[e] = x;
    entries.memcg[e] = m;
    entries.length[e] = bytes;
    // As in the kernel, a fresh page gets its second chance: the first walk passes it by.
    entries.referenced[e] = 1;
    // Writeback asks for users before it touches the entry, so the bit is set before the entry can be found.
    setBit(shared.users, x, slot);
    const counted = this.protocols.swapoff.countsEntries;
    if (counted) sync.add(this.live, x, 1);
    if (!this.protocols.entry.publish(this, e)) {
      if (counted) sync.add(this.live, x, -1);
      if (bytes > 0) this.objects.free(e, bytes);
      freeEntry(entries, e);
      return this.rejectEntry();
    }
    clearBit(shared.lost, x, slot);
    this.noteDirty(x, slot);
    counters[POOL.stored_pages]++;
    counters[C.zswpout]++;
    counters[POOL.compressed_bytes] += bytes;
    if (bytes === LENGTH_SAME_FILLED) counters[POOL.same_filled_pages]++;
    else if (bytes === PAGE_SIZE) this.countRaw(1);
    return STORED;
  }

  private rejectEntry(): number {
    this.counters[C.reject_kmemcache_fail]++;
    return this.rejectShort(WORK.ENTRIES);
  }

  /** There is no room now, but the shrinker can make some. */
  private rejectShort(what: number): number {
    requestWork(this.shared, what);
    return REJECTED;
  }
}
