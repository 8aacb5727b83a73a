/**
 * A WRITE that could not be finished at once: its page is in a request buffer and its slot stays pinned until the end.
 *
 *   store -> STORED                              -> done
 *         -> OVER_LIMIT -> shrinker shrinks the memcg -> store again, or reject
 *         -> POOL_FULL  -> shrinker reclaims a page of the allocator -> the same
 *         -> REJECTED   -> image write -> the old entry is erased -> done
 *
 * A rejected page reaches the image first, and only then is the old entry dropped: on an error the old page stays, and the
 * error is answered.
 */
import { type DeviceRequest, NBD_ENOSPC, NBD_ESHUTDOWN } from 'node-nbd-server/device';
import { ownerOf } from '../pool/attribution.ts';
import { clearBit, setBit, testBit } from '../pool/bits.ts';
import * as buffers from '../pool/buffers.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { writesBack } from '../pool/memcg.ts';
import { LOAD_OK } from '../protocols/protocol.ts';
import { settle } from './admission.ts';
import { C } from './counters.ts';
import type { Lane } from './lane.ts';
import { ORDER } from './orders.ts';
import { OVER_LIMIT, POOL_FULL, REJECTED, STORED, store, storeAgain, storeRaw } from './store.ts';
import type { Zswap } from './zswap.ts';

export class StoreOp {
  private readonly lane: Lane;
  private readonly zswap: Zswap;
  private readonly x: number;
  private readonly slot: number;
  private readonly r: number;
  private readonly buffer: number;
  private readonly request: DeviceRequest;
  private readonly wasUsed: boolean;
  /** The memcg that the page is stored for. */
  private readonly m: number;

  /** The page is in request buffer `buffer`; `r` is the slot's pinned record. */
  constructor(lane: Lane, request: DeviceRequest, x: number, slot: number, r: number, buffer: number) {
    this.lane = lane;
    this.zswap = lane.zswap;
    this.request = request;
    this.x = x;
    this.slot = slot;
    this.r = r;
    this.buffer = buffer;
    this.m = ownerOf(lane.zswap.memcgs, x, slot);
    // In use from here on, though nothing is published yet: a TRIM passes by what nobody uses, and would then be answered
    // before this page lands on top of it. Whoever wants to read the slot waits for the pin first.
    const { users } = lane.zswap.shared;
    this.wasUsed = testBit(users, x, slot);
    setBit(users, x, slot);
  }

  /** Goes on from what store() answered. STORED may be passed as well. */
  next(result: number): void {
    const { zswap, x } = this;
    if (result === STORED) {
      zswap.slots.dropPage(this.r);
      this.finish(0);
    } else if (result === OVER_LIMIT) {
      this.lane.order(ORDER.SHRINK, x, 0, this.m, (errno) => this.shrunk(errno, C.reject_memcg_limit));
    } else if (result === POOL_FULL) {
      this.lane.order(ORDER.RECLAIM, x, 0, this.m, (errno) => this.shrunk(errno, C.reject_pool_limit));
    } else this.toImage();
  }

  /** Stores from the buffer. */
  store(checked: boolean): number {
    const { memory } = this.zswap.shared.requestBuffers;
    return store(this.zswap, this.x, this.slot, memory, this.buffer * PAGE_SIZE, checked, this.r, this.m);
  }

  /** The limit is not looked at again, as in the kernel; when nothing could be written back, the page is rejected, and counted. */
  private shrunk(errno: number, rejected: number): void {
    const { zswap } = this;
    // Not published yet, so a page of an ended connection is dropped here.
    const fenced = this.request.fenced();
    const result = fenced || errno !== 0 ? REJECTED : this.store(true);
    if (errno === 0) settle(zswap, this.m);
    else zswap.counters[rejected]++;
    if (fenced) this.dropped(NBD_ESHUTDOWN);
    else this.next(result);
  }

  private toImage(): void {
    const { zswap, x, slot } = this;
    // The image write needs the shrinker's thread, which must not wait for this pin.
    if (zswap.protocols.busy.waits) zswap.slots.fill(this.r);
    if (!mayWriteBack(zswap, x, slot)) {
      const { memory } = zswap.shared.requestBuffers;
      const errno = keepRaw(zswap, x, slot, this.r, memory, this.buffer * PAGE_SIZE);
      if (errno === 0) this.finish(0);
      else this.dropped(errno);
      return;
    }
    this.lane.order(ORDER.WRITE, x, slot, this.buffer, (errno) => this.written(errno));
  }

  private written(errno: number): void {
    const { zswap, x, slot } = this;
    // Also of a write that failed: it may be torn, and then it has hit what the image held of the old page.
    zswap.noteDirty(x, slot);
    if (errno === 0) {
      zswap.dropOld(this.r, x, slot);
      zswap.sums.note(x, slot, zswap.codec.sumOf(buffers.pageOf(zswap.shared.requestBuffers, this.buffer)));
    } else if (!this.keepsOld()) {
      // The write may have been torn, so what the image had is gone as well.
      if (this.wasUsed) zswap.lose(x, slot);
      else {
        // The slot read as zeros before, and a hole brings that back.
        this.lane.order(ORDER.PUNCH, x, slot, 1, (failed) => {
          if (failed === 0) this.dropped(errno);
          else {
            zswap.lose(x, slot);
            this.finish(errno);
          }
        });
        return;
      }
    }
    this.finish(errno);
  }

  /** Nothing was changed: the slot is what it was before. */
  private dropped(errno: number): void {
    if (!this.wasUsed) clearBit(this.zswap.shared.users, this.x, this.slot);
    this.finish(errno);
  }

  /** Whether the slot still has its old page, in a copy that stays. */
  private keepsOld(): boolean {
    const { zswap, x, slot } = this;
    // On its way to the image, or about to be written there again (image_queue.ts).
    if (zswap.slots.t.page[this.r] !== 0) return true;
    const page = buffers.pageOf(zswap.shared.requestBuffers, this.buffer);
    // The new page is not needed any more: its request has failed.
    if (zswap.protocols.entry.load(zswap, x, slot, page) !== LOAD_OK) return false;
    // A writeback of the old page may have put it on the image before our write tore it there, and be about to erase the
    // entry:
    //   1. A's image write ends   2. B is rejected, and fails torn   3. we find A's entry   4. the writeback erases it
    return zswap.protocols.entry.pinKeepsEntry === true || storeAgain(zswap, x, slot, page) === STORED;
  }

  private finish(errno: number): void {
    const { zswap } = this;
    zswap.unpin(this.r);
    buffers.giveBuffer(zswap.shared.requestBuffers, this.buffer, zswap.shared.boxes);
    this.request.settle(errno);
  }
}

export function mayWriteBack(zswap: Zswap, x: number, slot: number): boolean {
  return writesBack(zswap.memcgs, ownerOf(zswap.memcgs, x, slot));
}

/** A rejected page of a memcg that may not write back: raw in the pool up to the bound, else ENOSPC. The pin is held. */
export function keepRaw(zswap: Zswap, x: number, slot: number, r: number, src: Uint8Array, at: number): number {
  if (!zswap.settings.rawOnReject || storeRaw(zswap, x, slot, src, at) !== STORED) return NBD_ENOSPC;
  zswap.slots.dropPage(r);
  return 0;
}
