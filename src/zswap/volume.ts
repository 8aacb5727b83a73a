/**
 * A volume: one export as the NBD server sees it, on one lane. The life of a page starts and ends here.
 *
 *   write: pin -> store -> unpin, or a StoreOp that takes the page further (memcg limit, image)
 *   read:  pin -> page ?? entry -> unpin, or a ReadOp that goes to the image
 *   trim:  a RangeOp
 */
import {
  type Device,
  type DeviceExtent,
  type DeviceRequest,
  type ExportInfo,
  NBD_EIO,
  NBD_ESHUTDOWN,
  NBD_STATE_HOLE,
  NBD_STATE_ZERO,
  OK,
  TAKEN,
  WAIT,
} from 'node-nbd-server/device';
import { findBit, testBit } from '../pool/bits.ts';
import * as buffers from '../pool/buffers.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { C } from './counters.ts';
import type { Lane, Parkable } from './lane.ts';
import { LOAD_FAILED, LOADED, ON_IMAGE } from './loads.ts';
import { ORDER } from './orders.ts';
import { PinWaits } from './pin_waits.ts';
import { RangeOp } from './range_op.ts';
import { ReadOp } from './read_op.ts';
import { REJECTED, STORED, store } from './store.ts';
import { keepRaw, mayWriteBack, StoreOp } from './store_op.ts';
import type { Zswap } from './zswap.ts';

const ZEROS = new Uint8Array(PAGE_SIZE);
/** Where a partial write is merged with its base; nothing is kept there between two calls. */
const merged = new Uint8Array(PAGE_SIZE);

export class Volume implements Device {
  readonly info: ExportInfo;
  readonly blockSize = PAGE_SIZE;
  readonly writeThrough: boolean;
  private readonly x: number;
  private readonly lane: Lane;
  private readonly zswap: Zswap;
  private readonly waits: PinWaits;

  constructor(lane: Lane, x: number, info: ExportInfo) {
    this.lane = lane;
    this.zswap = lane.zswap;
    this.x = x;
    this.info = info;
    this.writeThrough = lane.zswap.shared.settings.exports[x].writeThrough === true;
    this.waits = new PinWaits(lane, x);
  }

  write(request: DeviceRequest, slot: number, src: Uint8Array, at: number): number {
    const r = this.waits.pin(request, slot);
    if (r <= 0) return WAIT;
    if (request.fenced()) return this.refusePinned(r);
    return this.storePinned(request, r, slot, src, at);
  }

  /**
   * The connection has ended, or the export is swapped off and nothing is written until swapon. Both are asked under the pin:
   * of the one, because then whatever is newer comes after us, and without it another connection's write could be answered
   * between the question and the pin; of the other, because swapoff waits for pins.
   */
  private refusePinned(r: number): number {
    this.zswap.unpin(r);
    return NBD_ESHUTDOWN;
  }

  /** A buffer for a page that goes on without its connection; 0 when there is none, and then the connection waits. */
  private takeBuffer(request: DeviceRequest, r: number): number {
    const { zswap, lane, x } = this;
    const buffer = lane.hasRoom(x) ? buffers.takeBuffer(zswap.shared.requestBuffers, x, zswap.thread) : 0;
    if (buffer === 0) {
      zswap.unpin(r);
      lane.park(request);
    }
    return buffer;
  }

  private storePinned(request: DeviceRequest, r: number, slot: number, src: Uint8Array, at: number): number {
    const { zswap } = this;
    if (zswap.isSwappedOff(this.x)) return this.refusePinned(r);
    const result = store(zswap, this.x, slot, src, at, false, r);
    if (result === STORED) {
      // Newer than a page that is still on its way to the image: readers find the entry from here on.
      zswap.slots.dropPage(r);
      zswap.unpin(r);
      return OK;
    }
    if (result === REJECTED && !mayWriteBack(zswap, this.x, slot)) {
      const errno = keepRaw(zswap, this.x, slot, r, src, at);
      zswap.unpin(r);
      return errno;
    }
    return this.storeLater(request, r, slot, src, at, result);
  }

  /** Moves the page into a request buffer, so that the connection can go on. */
  private storeLater(
    request: DeviceRequest,
    r: number,
    slot: number,
    src: Uint8Array,
    at: number,
    result: number,
  ): number {
    const { zswap, lane, x } = this;
    const { requestBuffers } = zswap.shared;
    const buffer = this.takeBuffer(request, r);
    if (buffer === 0) return WAIT;
    requestBuffers.memory.set(src.subarray(at, at + PAGE_SIZE), buffer * PAGE_SIZE);
    new StoreOp(lane, request, x, slot, r, buffer).next(result);
    return TAKEN;
  }

  writePart(request: DeviceRequest, slot: number, within: number, length: number, src: Uint8Array, at: number): number {
    const { zswap, x } = this;
    const r = this.waits.pin(request, slot);
    if (r <= 0) return WAIT;
    if (request.fenced()) return this.refusePinned(r);
    if (zswap.isSwappedOff(x)) return this.refusePinned(r);
    const base = this.loadBase(r, slot);
    if (base === LOAD_FAILED) {
      zswap.unpin(r);
      return NBD_EIO;
    }
    if (base === ON_IMAGE) return this.mergeLater(request, r, slot, within, src.subarray(at, at + length));
    merged.set(src.subarray(at, at + length), within);
    return this.storePinned(request, r, slot, merged, 0);
  }

  private loadBase(r: number, slot: number): number {
    if (testBit(this.zswap.shared.users, this.x, slot)) return this.zswap.load(r, this.x, slot, merged, 0);
    merged.fill(0);
    return LOADED;
  }

  /** The base comes from the image: the slot stays pinned, so nothing changes it between the read and the store. */
  private mergeLater(request: DeviceRequest, r: number, slot: number, within: number, part: Uint8Array): number {
    const { zswap, lane, x } = this;
    const { requestBuffers, boxes } = zswap.shared;
    const buffer = this.takeBuffer(request, r);
    if (buffer === 0) return WAIT;
    // Not slice(): of a Buffer that is a view, and the receive buffer goes on to other requests meanwhile.
    const kept = new Uint8Array(part);
    lane.readImage(x, slot, 1, requestBuffers.memory, buffer * PAGE_SIZE, (errno) => {
      // Not published yet, so a page of an ended connection is dropped here.
      if (errno !== 0) zswap.faults?.shown(x, slot);
      const failed = errno !== 0 || !zswap.agrees(x, slot, requestBuffers.memory, buffer * PAGE_SIZE);
      if (failed || request.fenced()) {
        zswap.unpin(r);
        buffers.giveBuffer(requestBuffers, buffer, boxes);
        request.settle(failed ? NBD_EIO : NBD_ESHUTDOWN);
        return;
      }
      requestBuffers.memory.set(kept, buffer * PAGE_SIZE + within);
      const op = new StoreOp(lane, request, x, slot, r, buffer);
      op.next(op.store(false));
    });
    return TAKEN;
  }

  readNow(first: number, count: number, dst: Uint8Array, at: number): number {
    const { zswap, x } = this;
    const { users } = zswap.shared;
    for (let i = 0; i < count; i++) {
      const slot = first + i;
      const to = at + i * PAGE_SIZE;
      if (!testBit(users, x, slot)) {
        dst.fill(0, to, to + PAGE_SIZE);
        zswap.counters[C.zero_reads]++;
        continue;
      }
      const r = zswap.tryPin(x, slot);
      if (r <= 0) return i;
      const found = zswap.fetch(r, x, slot, dst, to);
      zswap.unpin(r);
      if (found !== LOADED) return i;
    }
    return count;
  }

  read(request: DeviceRequest, first: number, count: number, dst: Uint8Array, at: number): void {
    const op = new ReadOp(this.lane, request, this.x, first, count, dst, at);
    this.lane.loop.soon(() => op.resume());
  }

  trim(request: DeviceRequest, offset: number, length: number): void {
    const first = Math.ceil(offset / PAGE_SIZE);
    const end = Math.floor((offset + length) / PAGE_SIZE);
    this.range(request, first, Math.max(first, end), false, (errno) => request.settle(errno));
  }

  /** In a later turn, and slice by slice: what its connection has sent behind it, and touches it, comes when it has settled. */
  private range(
    request: DeviceRequest,
    first: number,
    end: number,
    provision: boolean,
    done: (errno: number) => void,
  ): void {
    const op = new RangeOp(this.lane, this.x, first, end, provision, () => request.fenced(), done);
    this.lane.loop.soon(() => op.resume());
  }

  /** Whole slots as a range; the ragged ends are partial writes of zeros, one after the other. */
  zero(request: DeviceRequest, offset: number, length: number, noHole: boolean): void {
    const end = offset + length;
    const firstWhole = Math.ceil(offset / PAGE_SIZE);
    const endWhole = Math.floor(end / PAGE_SIZE);
    const settle = (errno: number): void => request.settle(errno);
    if (endWhole < firstWhole) {
      this.zeroPart(request, offset, end, settle);
      return;
    }
    const head = (next: (errno: number) => void): void => this.zeroPart(request, offset, firstWhole * PAGE_SIZE, next);
    const middle = (next: (errno: number) => void): void => this.range(request, firstWhole, endWhole, noHole, next);
    const tail = (next: (errno: number) => void): void => this.zeroPart(request, endWhole * PAGE_SIZE, end, next);
    head((e1) => (e1 !== 0 ? settle(e1) : middle((e2) => (e2 !== 0 ? settle(e2) : tail(settle)))));
  }

  /** Zeroes [from, to) inside one slot through the ordinary write path. */
  private zeroPart(request: DeviceRequest, from: number, to: number, done: (errno: number) => void): void {
    if (from >= to) {
      this.lane.loop.soon(() => done(0));
      return;
    }
    const slot = Math.floor(from / PAGE_SIZE);
    // No connection sees that a part waits, so it is for the lane to count.
    const part: DeviceRequest & Parkable = {
      fenced: () => request.fenced(),
      settle: done,
      resume: () => this.lane.loop.soon(attempt),
      counted: false,
    };
    const attempt = (): void => {
      const result = this.writePart(part, slot, from % PAGE_SIZE, to - from, ZEROS, 0);
      if (result >= OK) done(result);
    };
    this.lane.loop.soon(attempt);
  }

  flush(request: DeviceRequest): void {
    this.lane.order(ORDER.FLUSH, this.x, 0, 0, (errno) => request.settle(errno));
  }

  persist(request: DeviceRequest, offset: number, length: number): void {
    const first = Math.floor(offset / PAGE_SIZE);
    const end = Math.ceil((offset + length) / PAGE_SIZE);
    this.lane.order(ORDER.PERSIST, this.x, first, end - first, (errno) => request.settle(errno));
  }

  extent(slot: number, end: number, into: DeviceExtent): DeviceExtent {
    const { users } = this.zswap.shared;
    const used = testBit(users, this.x, slot);
    // The slot itself is not looked at again: another lane may have written or trimmed it since, and its run would be empty.
    into.end = findBit(users, this.x, slot + 1, end, !used);
    into.status = used ? 0 : NBD_STATE_HOLE | NBD_STATE_ZERO;
    return into;
  }

  /** A block that waited may have its pin by now. */
  cancel(request: DeviceRequest): void {
    this.waits.cancel(request);
  }
}
