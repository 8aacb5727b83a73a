/**
 * A READ that needs the image or waits for a pin. It goes through its slots in order; slots that only the image has are
 * pinned together as far as that needs no waiting, and read in one run. An image read keeps its slots pinned until the
 * bytes have arrived. The request waits for one pin at a time, and while it waits it holds none.
 */
import { type DeviceRequest, NBD_EIO } from 'node-nbd-server/device';
import { ownerOf } from '../pool/attribution.ts';
import { testBit } from '../pool/bits.ts';
import { type Claim, noClaim } from '../pool/claims.ts';
import { noteSwapins } from '../pool/held_back.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { C } from './counters.ts';
import type { Lane, Parkable } from './lane.ts';
import { LOADED, ON_IMAGE } from './loads.ts';
import type { Zswap } from './zswap.ts';

/** Slots that one image read covers at most. */
const RUN_MAX = 64;

export class ReadOp implements Parkable {
  counted = false;
  private readonly lane: Lane;
  private readonly zswap: Zswap;
  private readonly x: number;
  private readonly first: number;
  private readonly count: number;
  private readonly dst: Uint8Array;
  private readonly at: number;
  private readonly request: DeviceRequest;
  private done = 0;
  /** Its place in the line of claims while it waits for the pin of the next slot, and then it comes for that first of all. */
  private waiting: Claim | null = null;
  private readonly records: number[] = [];

  constructor(
    lane: Lane,
    request: DeviceRequest,
    x: number,
    first: number,
    count: number,
    dst: Uint8Array,
    at: number,
  ) {
    this.lane = lane;
    this.zswap = lane.zswap;
    this.request = request;
    this.x = x;
    this.first = first;
    this.count = count;
    this.dst = dst;
    this.at = at;
  }

  resume(): void {
    const { zswap, x } = this;
    while (this.done < this.count) {
      const slot = this.first + this.done;
      const at = this.at + this.done * PAGE_SIZE;
      if (this.waiting === null && !testBit(zswap.shared.users, x, slot)) {
        this.dst.fill(0, at, at + PAGE_SIZE);
        zswap.counters[C.zero_reads]++;
        this.done++;
        continue;
      }
      const r = zswap.pin(x, slot, this.waiting);
      if (r <= 0) {
        this.waiting ??= noClaim();
        this.lane.park(this);
        return;
      }
      this.waiting = null;
      // Asked again: what the slot had may have been discarded between the question and the pin, and then the image still has
      // what it held before that:
      //   1. the slot is in use   2. swapoff discards it   3. we pin it, find no entry, and would read the image   4. the punch
      if (!testBit(zswap.shared.users, x, slot)) {
        zswap.unpin(r);
        continue;
      }
      const found = zswap.load(r, x, slot, this.dst, at);
      if (found === ON_IMAGE) {
        this.readRun(slot, at, r);
        return;
      }
      zswap.unpin(r);
      if (found !== LOADED) {
        this.request.settle(NBD_EIO);
        return;
      }
      this.done++;
    }
    this.request.settle(0);
  }

  /** Reads from the image as many adjacent slots as are there and can be pinned now. */
  private readRun(slot: number, at: number, r: number): void {
    const { zswap, x, records } = this;
    records.push(r);
    const most = Math.min(RUN_MAX, this.count - this.done);
    while (records.length < most) {
      const next = slot + records.length;
      if (!testBit(zswap.shared.users, x, next)) break;
      const other = zswap.tryPin(x, next);
      if (other <= 0) break;
      const used = testBit(zswap.shared.users, x, next);
      if (!used || zswap.fetch(other, x, next, this.dst, at + records.length * PAGE_SIZE) !== ON_IMAGE) {
        zswap.unpin(other);
        break;
      }
      records.push(other);
    }
    this.lane.readImage(x, slot, records.length, this.dst, at, (errno) => this.arrived(errno));
  }

  /** For the memcg of each slot, while the slots are pinned, or the row might be another memcg's by then. */
  private noteSwapins(): void {
    const { lru, memcgs } = this.zswap;
    const first = this.first + this.done;
    const end = first + this.records.length;
    for (let from = first; from < end; ) {
      const m = ownerOf(memcgs, this.x, from);
      let to = from + 1;
      while (to < end && ownerOf(memcgs, this.x, to) === m) to++;
      noteSwapins(lru, m, to - from);
      from = to;
    }
  }

  private arrived(errno: number): void {
    if (errno === 0 && this.zswap.settings.heuristic !== 'none') this.noteSwapins();
    let agrees = true;
    for (const r of this.records.splice(0)) {
      const slot = this.first + this.done;
      if (errno !== 0) this.zswap.faults?.shown(this.x, slot);
      else agrees = this.zswap.agrees(this.x, slot, this.dst, this.at + this.done * PAGE_SIZE) && agrees;
      this.done++;
      this.zswap.unpin(r);
    }
    if (errno !== 0 || !agrees) this.request.settle(NBD_EIO);
    else this.resume();
  }
}
