/**
 * The pool as one thread sees it: pins, and what protocols may do (protocol.ts has the contract). Zswap builds store and
 * load of pages on it.
 */

import { allocator, type Objects } from '../pool/allocator/index.ts';
import * as buffers from '../pool/buffers.ts';
import { Codec, fillPage } from '../pool/codec.ts';
import { POOL } from '../pool/counters.ts';
import { checkLive, type Entries, freeEntry, isLive, LENGTH_SAME_FILLED, NONE, setChecking } from '../pool/entries.ts';
import { hasTrees, mayWriteBack, takesWrites } from '../pool/export_state.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import * as lru from '../pool/lru.ts';
import { CTL, type PoolSettings, type Shared } from '../pool/shared.ts';
import { HOLDER_MASK } from '../pool/slot_table.ts';
import { ENOENT, Slots } from '../pool/slots.ts';
import type { Trees } from '../pool/tree.ts';
import type { Place } from '../pool/tree_walk.ts';
import type { ProtocolPool, Protocols } from '../protocols/protocol.ts';
import { invalidateUnderDeviceLock, on } from '../protocols/switches.ts';
import { newWalk, type Walk } from '../protocols/walk.ts';
import { rowOf } from '../shm/counters.ts';
import * as sync from '../shm/sync.ts';
import { C } from './counters.ts';

export class PoolView implements ProtocolPool {
  readonly shared: Shared;
  readonly settings: PoolSettings;
  readonly entries: Entries;
  readonly trees: Trees;
  readonly lru: lru.Lru;
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
  protected readonly codec: Codec;
  /** Queues the image write of a page that a protocol wrote back; only the shrinker has it. */
  onWrite: ((x: number, slot: number, buffer: number) => void) | null = null;

  constructor(shared: Shared, protocols: Protocols, thread: number) {
    this.shared = shared;
    this.settings = shared.settings;
    this.entries = shared.entries;
    this.trees = shared.trees;
    this.lru = shared.lru;
    this.protocols = protocols;
    this.thread = thread;
    this.secondChance = shared.settings.secondChance;
    this.readers = shared.readers;
    this.live = shared.live;
    if (shared.settings.checkEntries === true) setChecking(true);
    this.slots = new Slots(shared.slotTable, shared.users, shared.claims, shared.boxes, thread);
    this.slots.onRetired = (buffer) => this.givePage(buffer);
    this.objects = allocator.open(shared.zs);
    this.codec = new Codec(shared.settings.level);
    this.counters = rowOf(shared.counters, thread);
    sync.countWaits(this.counters);
    nameWaits(shared);
  }

  /** Pins a slot for a request: see Slots.pin, and the busy protocol's part in it. */
  pin(x: number, slot: number): number {
    return this.faulted(this.slots.pin(x, slot), x, slot);
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

  // What protocols see of the pool; protocol.ts has the contract.

  free(e: number): void {
    const { entries, counters } = this;
    if (!isLive(entries, e)) sync.violation('double free', `double free of entry ${e}`);
    const bytes = entries.length[e];
    const x = entries.volume[e];
    lru.del(this.lru, entries, e);
    if (bytes > 0) this.objects.free(e, bytes);
    if (bytes === LENGTH_SAME_FILLED) counters[POOL.same_filled_pages]--;
    else if (bytes === PAGE_SIZE) this.countRaw(-1);
    freeEntry(entries, e);
    counters[POOL.stored_pages]--;
    counters[POOL.compressed_bytes] -= bytes;
    if (this.protocols.swapoff.countsEntries) sync.add(this.live, x, -1);
  }

  protected countRaw(pages: number): void {
    this.counters[POOL.stored_incompressible_pages] += pages;
    sync.add(this.shared.control, CTL.RAW_PAGES, pages);
  }

  decompress(e: number, page: Uint8Array): boolean {
    const { entries, objects } = this;
    checkLive(entries, e);
    const bytes = entries.length[e];
    if (bytes === LENGTH_SAME_FILLED) {
      fillPage(page, entries.fill[e]);
      return true;
    }
    objects.map(e);
    const at = objects.offset(e);
    const object = objects.segment(e).subarray(at, at + bytes);
    let ok = true;
    if (bytes === PAGE_SIZE) page.set(object);
    else ok = this.codec.decompress(page, object);
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
    this.counters[C.written_back_pages]++;
    this.onWrite?.(t.volume[r], t.slot[r], buffer);
  }

  count(what: keyof typeof C): void {
    this.counters[C[what]]++;
  }

  protected erase(x: number, slot: number): void {
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
    //   1. writeback copies the slot's number   2. swapoff frees the trees, and gives its claim back
    //   3. writeback pins   4. it would look the slot up in a freed tree
    // Asked after the pin and not before it, because from the pin on swapoff waits for us.
    if (r <= 0 || mayWriteBack(this.shared.states, x)) return r;
    this.slots.unpin(r);
    return ENOENT;
  }
}

/** Names what threads wait for, so that the report of a wait that does not end says what it was. */
function nameWaits({ trees, lru, slotTable, entries, zs, deviceLock, live }: Shared): void {
  sync.nameWords(trees.words, 'tree lock');
  sync.nameWords(lru.lock, 'LRU lock');
  for (const { words, name } of allocator.locks(zs)) sync.nameWords(words, name);
  sync.nameWords(deviceLock, 'swap device lock');
  sync.nameWords(slotTable.buckets, 'slot table lock');
  sync.nameWords(slotTable.locked, 'slot pin', HOLDER_MASK);
  sync.nameWords(entries.state, 'entry state');
  sync.nameWords(live, 'live entries');
}
