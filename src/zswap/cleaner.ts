/**
 * Cleaning: copies stored pages to the image and keeps their entries. For FLUSH and FUA (strict durability) and for the
 * drain at a clean stop. Lives in the shrinker thread.
 *
 * A cleaning works through a list of slots. Each slot is pinned (a busy one is waited for, never skipped), its entry copied
 * into a request buffer, its write queued, and the pin dropped; then a sync is queued, which the image queue runs after
 * everything before it, written-back pages included. An entry counts as clean only when that sync has succeeded.
 */

import { NBD_EIO } from 'node-nbd-server';
import * as buffers from '../pool/buffers.ts';
import { highWater, isLive, NONE } from '../pool/entries.ts';
import { get, lockTree, treeOf, unlockTree } from '../pool/tree.ts';
import type { ImageQueue } from './image_queue.ts';
import type { Zswap } from './zswap.ts';

/** Slots looked at in one turn, so that other work gets its turn too. */
const TURN = 128;

export interface CleanResult {
  /** 0, or the first error met. */
  readonly errno: number;
  /** Pages that the image did not take. */
  readonly failed: number;
}

export class Cleaning {
  private readonly zswap: Zswap;
  private readonly queue: ImageQueue;
  private readonly slots: ArrayLike<number>;
  private readonly done: (result: CleanResult) => void;
  private readonly copied: { e: number; generation: number; dirty: number }[] = [];
  private busy: number[] = [];
  private next = 0;
  private underway = 0;
  private errno = 0;
  private failed = 0;
  private syncing = false;

  /** `slots`: what to clean, in the order to write it. `done` is called once, after the sync. */
  constructor(zswap: Zswap, queue: ImageQueue, slots: ArrayLike<number>, done: (result: CleanResult) => void) {
    this.zswap = zswap;
    this.queue = queue;
    this.slots = slots;
    this.done = done;
  }

  /** Slots written or found clean so far. */
  get progress(): number {
    return this.next - this.busy.length - this.underway;
  }

  /** Does a turn of work; true while it can go on at once, false when it waits for a pin, a buffer or the image. */
  turn(): boolean {
    if (this.syncing) return false;
    const waiting = this.busy;
    this.busy = [];
    let copied = 0;
    for (const slot of waiting) if (!this.clean(slot)) this.busy.push(slot);
    while (this.next < this.slots.length && copied < TURN && this.busy.length < TURN) {
      if (buffers.freeBuffers(this.zswap.shared.requestBuffers) === 0) break;
      if (!this.clean(this.slots[this.next])) this.busy.push(this.slots[this.next]);
      this.next++;
      copied++;
    }
    this.queue.pump();
    this.finishWhenWritten();
    return copied === TURN;
  }

  /** True when the slot is dealt with; false when it is pinned or no buffer is free, and this thread will be woken. */
  private clean(slot: number): boolean {
    const { zswap } = this;
    const { x } = this.queue;
    const r = zswap.slots.pin(x, slot);
    if (r <= 0) return false;
    const e = zswap.hasTrees(x) ? this.entryAt(slot) : NONE;
    if (e === NONE) {
      // Written back, trimmed or swapped off since the list was made; either way the image queue knows of it.
      zswap.slots.unpin(r);
      return true;
    }
    const buffer = buffers.takeBuffer(zswap.shared.requestBuffers, zswap.thread);
    if (buffer === 0) {
      zswap.slots.unpin(r);
      return false;
    }
    if (zswap.decompress(e, buffers.pageOf(zswap.shared.requestBuffers, buffer))) {
      this.copied.push({ e, generation: zswap.entries.generation[e], dirty: zswap.entries.dirty[e] });
      this.underway++;
      this.queue.push('clean', slot, 1, buffer, (errno) => this.written(buffer, errno));
    } else {
      zswap.count('decompress_fail');
      this.fail(NBD_EIO);
      buffers.giveBuffer(zswap.shared.requestBuffers, buffer, zswap.shared.boxes);
    }
    zswap.slots.unpin(r);
    return true;
  }

  private entryAt(slot: number): number {
    const { trees } = this.zswap;
    const tree = treeOf(trees, this.queue.x, slot);
    lockTree(trees, tree);
    const e = get(trees, tree, slot);
    unlockTree(trees, tree);
    return e;
  }

  private written(buffer: number, errno: number): void {
    this.underway--;
    buffers.giveBuffer(this.zswap.shared.requestBuffers, buffer, this.zswap.shared.boxes);
    if (errno !== 0) this.fail(errno);
    this.finishWhenWritten();
  }

  private fail(errno: number): void {
    this.errno = this.errno === 0 ? errno : this.errno;
    this.failed++;
  }

  private finishWhenWritten(): void {
    if (this.syncing || this.underway > 0 || this.busy.length > 0 || this.next < this.slots.length) return;
    this.syncing = true;
    this.queue.push('sync', 0, 0, 0, (errno) => {
      if (errno !== 0) this.errno = errno;
      // A parked page is acknowledged data that the image does not have.
      const parked = this.queue.parkedPages;
      if (parked > 0 && this.errno === 0) this.errno = NBD_EIO;
      if (this.errno === 0) this.markClean();
      this.done({ errno: this.errno, failed: this.failed + parked });
    });
    this.queue.pump();
  }

  private markClean(): void {
    const { entries } = this.zswap;
    for (const { e, generation, dirty } of this.copied) {
      // An entry that was replaced since is another generation, or carries a later epoch: it stays dirty.
      if (entries.generation[e] === generation && entries.dirty[e] === dirty) entries.dirty[e] = 0;
    }
  }
}

/** The stored slots of export `x` whose entries pass, in ascending order. A scan over the entry table. */
export function storedSlots(zswap: Zswap, x: number, wanted: (e: number) => boolean): Uint32Array {
  const { entries } = zswap;
  const end = highWater(entries);
  let count = 0;
  let slots = new Uint32Array(1024);
  for (let e = 1; e < end; e++) {
    if (!isLive(entries, e) || entries.volume[e] !== x || !wanted(e)) continue;
    if (count === slots.length) {
      const larger = new Uint32Array(count * 2);
      larger.set(slots);
      slots = larger;
    }
    slots[count++] = entries.slot[e];
  }
  return slots.subarray(0, count).sort();
}
