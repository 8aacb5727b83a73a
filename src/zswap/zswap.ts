/**
 * One thread's zswap: the pool as that thread sees it. What it knows of pins, load of a page and what ends one, and what
 * protocols may do (protocol.ts has the contract); store.ts has the store of a page.
 *
 *   load:  page in writeback ?? entry ?? image ?? zeros, in that order; the image is the caller's, because it must wait
 *
 * Nothing here waits for I/O or for another request, throws, or allocates per page beyond one view per zstd call.
 */
import { touch } from '../pool/access_time.ts';
import { type Objects, openObjects } from '../pool/allocator/index.ts';
import { clearBit, setBit, testBit } from '../pool/bits.ts';
import * as buffers from '../pool/buffers.ts';
import type { Claim } from '../pool/claims.ts';
import { Codec, fillPage, fillSum, tailWord } from '../pool/codec.ts';
import { setDirty } from '../pool/dirty.ts';
import { checkLive, type Entries, freeEntry, isLive, LENGTH_SAME_FILLED, NONE } from '../pool/entries.ts';
import { hasTrees, mayWriteBack, takesWrites } from '../pool/export_state.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import * as lru from '../pool/lru.ts';
import { CELL, countEvent, type Memcgs, ROOT } from '../pool/memcg.ts';
import type { PoolSettings, Shared } from '../pool/shared.ts';
import { ENOENT, Slots } from '../pool/slots.ts';
import type { Trees } from '../pool/tree.ts';
import type { Place } from '../pool/tree_walk.ts';
import { LOAD_EIO, LOAD_OK, type ProtocolPool, type Protocols } from '../protocols/protocol.ts';
import { invalidateUnderDeviceLock, on } from '../protocols/switches.ts';
import { newWalk, type Walk } from '../protocols/walk.ts';
import { rowOf } from '../shm/counters.ts';
import * as sync from '../shm/sync.ts';
import { Checksums, NO_SUMS, type PageSums } from './checksums.ts';
import { C } from './counters.ts';
import { countEntry } from './entry_counts.ts';
import { LOAD_FAILED, LOADED, LOST, ON_IMAGE, STALE, UNREADABLE } from './loads.ts';
import { type OnMismatch, type OnWrite, type PoolFaults, type Tier, writesNothing } from './outward.ts';
import { doubt } from './vouch.ts';

/** What one thread does with the pool. */
export class Zswap implements ProtocolPool {
  readonly shared: Shared;
  readonly settings: PoolSettings;
  readonly entries: Entries;
  readonly trees: Trees;
  readonly lru: lru.Lru;
  readonly memcgs: Memcgs;
  readonly slots: Slots;
  readonly objects: Objects;
  readonly protocols: Protocols;
  readonly counters: Float64Array;
  readonly thread: number;
  readonly secondChance: boolean;
  readonly readers: Int32Array;
  readonly live: Int32Array;
  readonly place: Place = { node: 0, at: 0, e: NONE };
  readonly walk: Walk = newWalk();
  readonly codec: Codec;
  readonly sums: PageSums;
  onMismatch: OnMismatch | null = null;
  faults: PoolFaults | null = null;
  private readonly queueWrite: OnWrite;
  /** Whose page was decompressed last: what is loaded or written back has just been. A same-filled page is nobody's. And its bytes. */
  private lastMemcg = ROOT;
  lastBytes = 0;
  lastEntry = NONE;
  /** Its sum, which zstd has verified; 0 for a page stored raw. */
  private lastSum = 0;

  constructor(shared: Shared, protocols: Protocols, thread: number, onWrite: OnWrite = writesNothing) {
    this.shared = shared;
    this.settings = shared.settings;
    this.entries = shared.entries;
    this.trees = shared.trees;
    this.memcgs = shared.memcgs;
    const { heuristic, dead } = shared.settings;
    this.lru = lru.openLru(shared.lru, shared.memcgs, thread, heuristic === 'protected', dead === 'last');
    this.protocols = protocols;
    this.thread = thread;
    this.secondChance = heuristic === 'second-chance';
    this.readers = shared.readers;
    this.live = shared.live;
    this.slots = new Slots(shared.slotTable, shared.users, shared.claims, shared.boxes, thread);
    this.slots.onRetired = (buffer) => this.givePage(buffer);
    this.objects = openObjects(shared.zs);
    this.codec = new Codec(shared.settings.level, shared.sums !== null);
    this.counters = rowOf(shared.counters, thread);
    this.sums = shared.sums === null ? NO_SUMS : new Checksums(shared.sums, this.codec);
    this.queueWrite = onWrite;
  }

  /** Pins a slot for a request: see Slots.pinInTurn, and the busy protocol's part in it. */
  pin(x: number, slot: number, place: Claim | null = null): number {
    return this.faulted(this.slots.pinInTurn(x, slot, place), x, slot);
  }

  tryPin(x: number, slot: number): number {
    return this.faulted(this.slots.tryPin(x, slot), x, slot);
  }

  private faulted(r: number, x: number, slot: number): number {
    const { busy } = this.protocols;
    if (r > 0 && busy.onFault?.(this, x, slot) === true) this.slots.t.offLru[r] = 1;
    return r;
  }

  /** Drops a pin that pin or tryPin gave. */
  unpin(r: number): void {
    const { t } = this.slots;
    if (t.offLru[r] === 1) {
      t.offLru[r] = 0;
      this.protocols.busy.onFaultDone?.(this, t.volume[r], t.slot[r]);
    }
    this.slots.unpin(r);
  }

  /** Nothing can be written, as from the begin of swapoff to swapon. Asked under a pin or a claim, which swapoff waits for. */
  isSwappedOff(x: number): boolean {
    return !takesWrites(this.shared.states, x);
  }

  /** False when the trees of the export are freed, and what is still readable is on the image. Asked under a pin. */
  hasTrees(x: number): boolean {
    return hasTrees(this.shared.states, x);
  }

  /** Copies a pinned slot's content to dst[at..] unless the image has it. Counts what goes wrong, for callers that answer it. */
  load(r: number, x: number, slot: number, dst: Uint8Array, at: number): number {
    const found = this.fetch(r, x, slot, dst, at);
    if (found <= ON_IMAGE) return found;
    if (found === UNREADABLE) this.counters[C.decompress_fail]++;
    else if (found === STALE) this.mismatched(x, slot, 'pool');
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
      return this.sums.agrees(x, slot, dst, at) ? LOADED : STALE;
    }
    if (!this.hasTrees(x)) return ON_IMAGE;
    const result = this.protocols.entry.load(this, x, slot, dst.subarray(at, at + PAGE_SIZE));
    if (result === LOAD_OK) {
      if (this.faults?.hides(x, slot) === true) return ON_IMAGE;
      if (!this.sums.agrees(x, slot, dst, at, this.lastSum)) return STALE;
      // Who has not the slot's pin alone may have freed it by now: then a stranger looks used, which is a hint that is wrong.
      touch(shared.clock, this.entries, this.lastEntry);
      counters[C.zswpin]++;
      countEvent(this.memcgs, this.thread, this.lastMemcg, CELL.ZSWPIN);
      return LOADED;
    }
    return result === LOAD_EIO ? UNREADABLE : ON_IMAGE;
  }

  /** Whether a page that came from the image is the one last acknowledged. True without checksums. */
  agrees(x: number, slot: number, dst: Uint8Array, at: number): boolean {
    if (this.faults !== null) this.faults.shown(x, slot);
    if (this.sums.agrees(x, slot, dst, at)) return true;
    this.mismatched(x, slot, 'image');
    return false;
  }

  /** The same of a page that was loaded just now, or has sum `known`. Pin held. */
  isStored(x: number, slot: number, page: Uint8Array, known = this.lastSum): boolean {
    if (this.sums.agrees(x, slot, page, 0, known)) return true;
    this.mismatched(x, slot, 'pool');
    return false;
  }

  /** What is there may never be taken for what was acknowledged, by a stop neither. Pin held. */
  mismatched(x: number, slot: number, tier: Tier): void {
    this.counters[C.checksum_mismatch]++;
    this.lose(x, slot);
    this.onMismatch?.(x, slot, tier);
  }

  /** Frees what is stored at a slot that nobody uses any more. The caller claimed its range (range_op.ts says why the debt is first). */
  invalidate(x: number, slot: number): void {
    this.noteDirty(x, slot);
    clearBit(this.shared.users, x, slot);
    clearBit(this.shared.lost, x, slot);
    this.erase(x, slot);
    this.slots.dropPageOf(x, slot);
    this.sums.forget(x, slot);
    this.counters[C.invalidates]++;
  }

  /**
   * The slot's last acknowledged bytes exist nowhere: EIO until somebody writes or trims it. The caller keeps others from
   * changing it. Lost first, because a READ asks whether its slot is in use, and then whether it is lost:
   *   1. a slot is in use again   2. a READ finds it so, and not lost   3. it is lost   4. the READ gets the old bytes of the image
   */
  lose(x: number, slot: number): void {
    const { lost, users } = this.shared;
    if (testBit(lost, x, slot)) return;
    setBit(lost, x, slot);
    setBit(users, x, slot);
    this.counters[C.lost_pages]++;
    doubt(this.shared, x);
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

  // What protocols see of the pool; protocol.ts has the contract.

  free(e: number): void {
    const { entries } = this;
    if (!isLive(entries, e)) sync.violation('double free', `double free of entry ${e}`);
    const bytes = entries.length[e];
    const x = entries.volume[e];
    lru.del(this.lru, entries, e);
    if (bytes > 0) this.objects.free(e, bytes);
    countEntry(this, e, bytes, x, -1);
    freeEntry(entries, e);
    if (this.protocols.swapoff.countsEntries) sync.add(this.live, x, -1);
  }

  decompress(e: number, page: Uint8Array): boolean {
    const { entries, objects } = this;
    checkLive(entries, e);
    const bytes = this.faults === null ? entries.length[e] : this.faults.lengthOf(e);
    if (bytes < 0) return false;
    this.lastMemcg = entries.memcg[e];
    this.lastBytes = bytes;
    this.lastEntry = e;
    if (bytes === LENGTH_SAME_FILLED) {
      this.lastMemcg = ROOT;
      fillPage(page, entries.fill[e]);
      this.lastSum = fillSum(entries.fill[e]);
      return true;
    }
    objects.map(e);
    const at = objects.offset(e);
    const object = objects.segment(e).subarray(at, at + bytes);
    const raw = bytes === PAGE_SIZE;
    if (raw) page.set(object);
    const ok = raw || this.codec.decompress(page, object);
    this.lastSum = raw ? 0 : tailWord(object, bytes);
    objects.unmap(e);
    return ok;
  }

  takePage(x: number): number {
    return buffers.takeBuffer(this.shared.writebackBuffers, x, this.thread);
  }

  givePage(buffer: number): void {
    buffers.giveBuffer(this.shared.writebackBuffers, buffer, this.shared.boxes);
  }

  page(buffer: number): Uint8Array {
    return buffers.pageOf(this.shared.writebackBuffers, buffer);
  }

  startWrite(r: number, buffer: number): void {
    const { t } = this.slots;
    this.slots.attachPage(r, buffer);
    this.isStored(t.volume[r], t.slot[r], this.page(buffer));
    this.counters[C.written_back_pages]++;
    countEvent(this.memcgs, this.thread, this.lastMemcg, CELL.ZSWPWB);
    this.queueWrite(t.volume[r], t.slot[r], buffer);
  }

  count(what: keyof typeof C): void {
    this.counters[C[what]]++;
  }

  private erase(x: number, slot: number): void {
    const underDeviceLock = on(this, invalidateUnderDeviceLock);
    if (underDeviceLock) sync.lock(this.shared.deviceLock, x);
    this.protocols.invalidate.invalidate(this, x, slot);
    if (underDeviceLock) sync.unlock(this.shared.deviceLock, x);
  }

  pinForWriteback(x: number, slot: number): number {
    const underDeviceLock = on(this, invalidateUnderDeviceLock);
    if (underDeviceLock) sync.lock(this.shared.deviceLock, x);
    const r = this.slots.pinForWriteback(x, slot);
    if (underDeviceLock) sync.unlock(this.shared.deviceLock, x);
    // A slot that stays in use over swapoff (slot 0, with --keep every one) can be pinned when its tree is freed:
    //   1. writeback copies the slot's number   2. swapoff frees the trees   3. writeback pins   4. it looks into a freed tree
    // Asked after the pin and not before it, because from the pin on swapoff waits for us.
    if (r <= 0 || mayWriteBack(this.shared.states, x)) return r;
    this.slots.unpin(r);
    return ENOENT;
  }
}
