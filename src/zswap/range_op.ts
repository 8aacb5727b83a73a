/**
 * TRIM and WRITE_ZEROES over whole slots: slice by slice of at most 2 MiB, so that a 4 GiB range costs what it holds.
 *
 * A slice: range claim (new pins in it fail) -> wait for the pins that were there -> users := 0, entries erased -> punch
 * (queued behind the slots' earlier image writes) -> release. The request ends after its last slice. A slice in which no
 * slot is used is skipped; nothing of it is anywhere.
 *
 * Lock order: range claim -> tree.lock -> lru.lock -> allocator.
 */
import { NBD_ESHUTDOWN } from 'node-nbd-server/device';
import { clearBit, findBit, setBit } from '../pool/bits.ts';
import { claim, noClaim, release, stands, waits } from '../pool/claims.ts';
import { fillSum } from '../pool/codec.ts';
import { SLICE_SLOTS } from '../pool/limits.ts';
import { on, slotReusableBeforeInvalidate } from '../protocols/switches.ts';
import { C } from './counters.ts';
import type { Lane, Parkable } from './lane.ts';
import { ORDER } from './orders.ts';
import type { Zswap } from './zswap.ts';

/** What a slice costs beside its slots in use: a look at the pin of each slot of it, which is a sixteenth of what one in use costs. */
const SLICE_UNITS = SLICE_SLOTS / 16;
/** Of a page of zeros. */
const ZEROS = fillSum(0);
/** Slots that nobody uses and that are passed by for what one in use costs. */
const SKIPPED_PER_UNIT = 4096;

export class RangeOp implements Parkable {
  counted = false;
  private readonly lane: Lane;
  private readonly zswap: Zswap;
  private readonly x: number;
  private cursor: number;
  private readonly end: number;
  private readonly provision: boolean;
  private readonly fenced: () => boolean;
  private readonly done: (errno: number) => void;
  private readonly claim = noClaim();
  private sliceEnd = 0;
  /** Slots of the claimed slice below this one were seen without a pin. */
  private unpinned = 0;

  /** Slots [first, end). `provision`: leave zeros on the image instead of a hole. `done` is never called from here. */
  constructor(
    lane: Lane,
    x: number,
    first: number,
    end: number,
    provision: boolean,
    fenced: () => boolean,
    done: (errno: number) => void,
  ) {
    this.lane = lane;
    this.zswap = lane.zswap;
    this.x = x;
    this.cursor = first;
    this.end = end;
    this.provision = provision;
    this.fenced = fenced;
    this.done = done;
  }

  resume(): void {
    const { zswap, x } = this;
    const claimed = stands(this.claim);
    if (!this.lane.turns.take(this, claimed) || (!claimed && !this.nextSlice())) return;
    // The claim keeps new pins out, so this ends once the old ones are dropped; each drop wakes us. A slot that was seen without
    // its pin is done: who pins it later finds the claim, and we need not meet all of those at a moment without one.
    for (; this.unpinned < this.sliceEnd; this.unpinned++) {
      if (zswap.slots.isPinned(x, this.unpinned)) {
        this.lane.park(this);
        return;
      }
    }
    if (zswap.isSwappedOff(x)) {
      this.refuse();
      return;
    }
    const used: number[] = [];
    for (let slot = this.cursor; slot < this.sliceEnd; slot++) {
      slot = findBit(zswap.shared.users, x, slot, this.sliceEnd, true);
      if (slot === this.sliceEnd) break;
      used.push(slot);
    }
    if (on(zswap, slotReusableBeforeInvalidate)) this.giveUpSlots(used);
    // Each notes its debt before its bit goes, because another TRIM passes by what nobody uses, and is answered at once:
    //   1. the bit goes   2. the other TRIM is answered   3. a FLUSH finds no debt   4. a kill, before our punch
    for (const slot of used) zswap.invalidate(x, slot);
    this.lane.turns.spend(SLICE_UNITS + used.length);
    const kind = this.provision ? ORDER.ZERO : ORDER.PUNCH;
    this.lane.order(kind, x, this.cursor, this.sliceEnd - this.cursor, (errno) => this.punched(errno, used));
  }

  /** Claims the next slice that holds anything; false when the range is done, dropped, or has to wait. */
  private nextSlice(): boolean {
    const { zswap, x } = this;
    if (!this.provision) this.skipUnused();
    if (this.cursor >= this.end) {
      // What was passed by may be what a swapoff has emptied, and the image has still to forget:
      //   1. it clears the bits of a slice   2. we find nobody there   3. a FLUSH finds no debt   4. a kill, before its punches
      this.done(zswap.isSwappedOff(x) ? NBD_ESHUTDOWN : 0);
      return false;
    }
    // A swapoff waits until nobody claims anything of its export; who will be refused claims nothing, or that might never be.
    // Nor does a range that has waited and whose connection has ended meanwhile: those that live stand in line behind it.
    if (zswap.isSwappedOff(x) || (this.counted && this.fenced())) {
      this.refuse();
      return false;
    }
    // To the next multiple of the slice, so that a slice never crosses a tree's edge; also, bits are cheap to skip.
    this.sliceEnd = Math.min(this.end, (Math.floor(this.cursor / SLICE_SLOTS) + 1) * SLICE_SLOTS);
    if (!claim(zswap.shared.claims, x, this.cursor, this.sliceEnd, zswap.thread, this.claim)) {
      this.lane.park(this);
      return false;
    }
    this.unpinned = this.cursor;
    // Asked when the claim stands, because then whatever is newer has to wait for us; asked before it, another
    // connection's write could still be answered between the question and the claim.
    if (!this.fenced()) return true;
    zswap.counters[C.fenced_units]++;
    this.refuse();
    return false;
  }

  /** Goes to the next slot in use. Where that is behind the slice that was waited for, its place in line is another's. */
  private skipUnused(): void {
    const { zswap, x, cursor } = this;
    this.cursor = findBit(zswap.shared.users, x, cursor, this.end, true);
    this.lane.turns.spend((this.cursor - cursor) / SKIPPED_PER_UNIT);
    if (this.cursor >= this.sliceEnd) this.endSlice();
  }

  /** Nothing more is done to the range: its connection has ended, or its export is swapped off. */
  private refuse(): void {
    this.endSlice();
    this.done(NBD_ESHUTDOWN);
  }

  /** E2 broken on purpose: the slots are free for new stores before they are invalidated. */
  private giveUpSlots(used: readonly number[]): void {
    for (const slot of used) clearBit(this.zswap.shared.users, this.x, slot);
    this.endSlice();
  }

  private endSlice(): void {
    const { claims, boxes } = this.zswap.shared;
    if (stands(this.claim) || waits(this.claim)) release(claims, this.claim, boxes);
  }

  private punched(errno: number, used: readonly number[]): void {
    const { zswap, x } = this;
    if (errno !== 0) {
      // The pool's copies are gone and the image still has bytes older than them: nobody may read those.
      for (const slot of used) zswap.lose(x, slot);
    } else if (this.provision) {
      for (let slot = this.cursor; slot < this.sliceEnd; slot++) {
        setBit(zswap.shared.users, x, slot);
        zswap.sums.note(x, slot, ZEROS);
        zswap.noteDirty(x, slot);
      }
    }
    this.endSlice();
    this.cursor = this.sliceEnd;
    if (errno !== 0) this.done(errno);
    else this.resume();
  }
}
