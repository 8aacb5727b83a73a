/**
 * Dead pages leave at once (`shrinker.dead: drop`): what a TRIM of a run of slots does (range_op.ts), of those whose page is dead.
 *
 *   range claim -> wait for the pins that were there -> each slot is free, and its page dead or not -> users := 0 of the dead,
 *   entries erased -> punches (queued behind the slots' earlier image writes) -> release
 *
 * A claim and no pin, because it lasts as long as the image takes: who holds a pin for so long in this thread is taken for one
 * that has forgotten it (pin_watch.ts). A WRITE that came before the claim is not what is dropped, because its page has a
 * later stamp (owner.ts, free), and a newer one has to wait.
 *
 * Lock order: range claim -> tree.lock -> lru.lock -> allocator.
 */
import { findBit } from '../pool/bits.ts';
import { claim, noClaim, release, stands, waits } from '../pool/claims.ts';
import type { Zswap } from './zswap.ts';

/** Has the image forget slots, after everything that is queued for them; `done` is called later. */
export type Punch = (x: number, first: number, count: number, done: (errno: number) => void) => void;

/** Slots [first, end), and those of them that had a dead page. */
interface Span {
  readonly first: number;
  end: number;
  readonly dead: number[];
}

export class DeadDrop {
  private readonly zswap: Zswap;
  private readonly x: number;
  private readonly first: number;
  private readonly end: number;
  private readonly claim = noClaim();
  /** Slots below this one were seen without a pin, which is enough, as in RangeOp. */
  private unpinned: number;

  /** Of slots [first, end) of export `x`. */
  constructor(zswap: Zswap, x: number, first: number, end: number) {
    this.zswap = zswap;
    this.x = x;
    this.first = first;
    this.end = end;
    this.unpinned = first;
  }

  /** True when nobody else has any of the slots; else this thread is going to be woken, and to ask again or to give up. */
  has(): boolean {
    const { zswap, x, first, end } = this;
    if (!stands(this.claim) && !claim(zswap.shared.claims, x, first, end, zswap.thread, this.claim)) return false;
    for (; this.unpinned < end; this.unpinned++) if (zswap.slots.isPinned(x, this.unpinned)) return false;
    return true;
  }

  giveUp(): void {
    const { claims, boxes } = this.zswap.shared;
    if (stands(this.claim) || waits(this.claim)) release(claims, this.claim, boxes);
  }

  /**
   * Drops the slots of which `isDead` says so. It is asked of each, and tells whose the slot is from now on. True if there are
   * any: `done` is called later, when they can be used again. Else they can be by now.
   */
  drop(isDead: (slot: number) => boolean, punch: Punch, done: () => void): boolean {
    const { zswap, x } = this;
    const dead: number[] = [];
    for (let slot = this.first; slot < this.end; slot++) if (isDead(slot)) dead.push(slot);
    // As in RangeOp: each notes its debt before its bit goes.
    for (const slot of dead) zswap.invalidate(x, slot);
    const spans = this.spansOf(dead);
    let left = spans.length;
    for (const span of spans) {
      punch(x, span.first, span.end - span.first, (errno) => {
        // The image still has what is older than the pages that are gone: nobody may read that.
        if (errno !== 0) for (const slot of span.dead) zswap.lose(x, slot);
        if (--left > 0) return;
        this.giveUp();
        done();
      });
    }
    if (left === 0) this.giveUp();
    return left > 0;
  }

  /** One goes on over slots that nobody uses, of which the image has nothing that is read, as a TRIM does. */
  private spansOf(dead: readonly number[]): Span[] {
    const { users } = this.zswap.shared;
    const spans: Span[] = [];
    for (const slot of dead) {
      const last = spans.at(-1);
      if (last !== undefined && findBit(users, this.x, last.end, slot, true) === slot) {
        last.end = slot + 1;
        last.dead.push(slot);
      } else spans.push({ first: slot, end: slot + 1, dead: [slot] });
    }
    return spans;
  }
}
