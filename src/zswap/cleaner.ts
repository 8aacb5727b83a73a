/**
 * Cleaning: copies what slots hold now to the image, and keeps it where it is. For FLUSH and FUA (strict durability), for
 * swapoff, and for the drain at a clean stop. Lives in the shrinker thread.
 *
 * A cleaning works through a list of slots. Each slot is pinned (a busy one is waited for, never skipped), what it holds is
 * copied into a request buffer, the copy's write queued, and the pin dropped; then a sync is queued, which the image queue
 * runs after everything before it. What a slot holds is looked up in a reader's order:
 *   page    on its way to the image: it is written once more, because its own write may fail, or be skipped when a newer
 *           page takes its place, and this cleaning answers for it
 *   entry   loaded by its protocol: not every one keeps an entry alive for whoever has the slot's pin
 *   neither: the image has it, by a write or a punch that ended before the pin could be had, and the sync covers it; or the slot
 *           was discarded by a swapoff, whose own punches come later, and the image may have what is older than all that was
 *           answered: then it is punched here
 *
 * Nothing is kept per page but what is under way, which the buffers bound, and the number of each slot that failed.
 */

import { NBD_EIO } from 'node-nbd-server/device';
import type { ImageQueue } from '../image/image_queue.ts';
import { testBit } from '../pool/bits.ts';
import * as buffers from '../pool/buffers.ts';
import { SlotList } from '../pool/dirty.ts';
import { runsVerb } from '../pool/export_state.ts';
import { LOAD_EIO, LOAD_MISS, LOAD_OK } from '../protocols/protocol.ts';
import type { Zswap } from './zswap.ts';

/** Slots looked at in one turn, so that other work gets its turn too; also how many busy ones are waited for at once. */
const TURN = 128;

export interface CleanResult {
  /** 0, or the first error met. */
  readonly errno: number;
  /** Slots whose content the image did not take. */
  readonly failed: Uint32Array;
}

/** What became of one slot. */
const DONE = 0;
/** It is pinned, or no buffer is free; this thread will be woken. */
const BUSY = 1;

export class Cleaning {
  private readonly zswap: Zswap;
  private readonly queue: ImageQueue;
  private readonly slots: ArrayLike<number>;
  private readonly done: (result: CleanResult) => void;
  private busy: number[] = [];
  private next = 0;
  private underway = 0;
  private errno = 0;
  private readonly failed = new SlotList();
  private syncing = false;

  /** `slots`: what to clean, in the order to write it. `done` is called once, after the sync. */
  constructor(zswap: Zswap, queue: ImageQueue, slots: ArrayLike<number>, done: (result: CleanResult) => void) {
    this.zswap = zswap;
    this.queue = queue;
    this.slots = slots;
    this.done = done;
  }

  get x(): number {
    return this.queue.x;
  }

  /** Slots written or found clean so far. */
  get progress(): number {
    return this.next - this.busy.length - this.underway - this.failures;
  }

  /** Slots that were not looked at so far. */
  get left(): number {
    return this.slots.length - this.next;
  }

  /** Slots whose content the image has not taken so far. */
  get failures(): number {
    return this.failed.slots().length;
  }

  /**
   * Does a turn of work, on `most` slots that were not looked at so far; true while it can go on at once, false when it waits
   * for a pin, a buffer or the image.
   */
  turn(most = TURN): boolean {
    if (this.syncing) return false;
    const waiting = this.busy;
    this.busy = [];
    let looked = 0;
    for (const slot of waiting) if (this.clean(slot) === BUSY) this.busy.push(slot);
    while (this.next < this.slots.length && looked < Math.min(most, TURN) && this.busy.length < TURN) {
      if (buffers.buffersFor(this.zswap.shared.requestBuffers, this.queue.x) === 0) break;
      const slot = this.slots[this.next];
      if (this.clean(slot) === BUSY) this.busy.push(slot);
      this.next++;
      looked++;
    }
    this.queue.pump();
    this.finishWhenWritten();
    return looked === TURN;
  }

  private clean(slot: number): number {
    const { zswap } = this;
    const { x } = this.queue;
    const r = zswap.slots.pinInTurn(x, slot);
    if (r <= 0) return BUSY;
    const result = this.cleanPinned(r, x, slot);
    zswap.slots.unpin(r);
    return result;
  }

  private cleanPinned(r: number, x: number, slot: number): number {
    const { zswap } = this;
    const { shared } = zswap;
    if (testBit(shared.lost, x, slot)) return this.fail(slot, NBD_EIO);
    const buffer = buffers.takeBuffer(shared.requestBuffers, x, zswap.thread);
    if (buffer === 0) return BUSY;
    const found = this.copy(r, x, slot, buffers.pageOf(shared.requestBuffers, buffer));
    const isDiscarded = found === LOAD_MISS && !testBit(shared.users, x, slot) && runsVerb(shared.states, x);
    if (found === LOAD_OK) this.push('clean', slot, buffer);
    // Its buffer bounds how many are under way.
    else if (isDiscarded) this.push('punch', slot, buffer);
    else {
      buffers.giveBuffer(shared.requestBuffers, buffer, shared.boxes);
      // Asked again, and last: a swapoff that the image has refused loses slots without a pin, and then is over.
      //   1. we find the slot not lost   2. its punch fails: it is lost, and in use   3. we find it in use, or the export off
      if (found !== LOAD_MISS || testBit(shared.lost, x, slot)) this.fail(slot, NBD_EIO);
    }
    return DONE;
  }

  /** LOAD_MISS: neither page nor entry. The slot's pin is held. */
  private copy(r: number, x: number, slot: number, into: Uint8Array): number {
    const { zswap } = this;
    const page = zswap.slots.t.page[r];
    if (page !== 0) {
      into.set(zswap.page(page));
      return zswap.isStored(x, slot, into, 0) ? LOAD_OK : LOAD_EIO;
    }
    // Trees of an export that is swapped off are freed, and whatever they held is on the image.
    if (!zswap.hasTrees(x)) return LOAD_MISS;
    const found = zswap.protocols.entry.load(zswap, x, slot, into);
    if (found === LOAD_EIO) zswap.count('decompress_fail');
    return found !== LOAD_OK || zswap.isStored(x, slot, into) ? found : LOAD_EIO;
  }

  private push(kind: 'clean' | 'punch', slot: number, buffer: number): void {
    this.underway++;
    const copied = kind === 'clean' ? buffer : 0;
    this.queue.push(kind, slot, 1, copied, (errno) => this.written(slot, buffer, errno));
  }

  private written(slot: number, buffer: number, errno: number): void {
    this.underway--;
    buffers.giveBuffer(this.zswap.shared.requestBuffers, buffer, this.zswap.shared.boxes);
    if (errno !== 0) this.fail(slot, errno);
    this.finishWhenWritten();
  }

  private fail(slot: number, errno: number): number {
    this.errno = this.errno === 0 ? errno : this.errno;
    this.failed.push(slot);
    return DONE;
  }

  private finishWhenWritten(): void {
    if (this.syncing || this.underway > 0 || this.busy.length > 0 || this.next < this.slots.length) return;
    this.syncing = true;
    this.queue.push('sync', 0, 0, 0, (errno) => {
      if (this.errno === 0) this.errno = errno;
      this.done({ errno: this.errno, failed: this.failed.slots() });
    });
    this.queue.pump();
  }
}
