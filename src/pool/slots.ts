/**
 * Slot records: the pin (the role of the swap cache and its locked folio) and the page that stands for a slot while it
 * is written back.
 *
 * A record exists while a slot is in use by a request or by writeback; it lives in a shared hash table:
 *   locked   thread id + 1 of who holds the pin, else 0; with FILLED once the holder has its page, so that whoever waits
 *            for the pin sees either: then it is EEXIST for good, and the holder may be waiting for him
 *   page     writeback buffer whose bytes are the slot's content now, else 0
 *   wb       image writes of this slot that are queued or running for writeback
 *   retired  the page's buffer, when its image write ended while somebody held the pin
 *   waiters  threads to wake when the pin is dropped, and WATCHED
 *   wants    threads that wait in turn: one of them is handed the pin when it is dropped, and nobody else can take it (HANDED)
 *   offLru   1 while the pin's holder keeps the slot's entry off the LRU
 * The pin is not held for the whole image write: `page` outlives it. What a reader sees, under the pin: page, else
 * entry, else image. A record without pin, page and wb is taken out.
 *
 * Pin attempts answer EEXIST (in use), ENOENT (writeback only: nobody uses the slot) or ENOMEM (the export may have no more
 * records; each has a share that others can't take).
 *
 * Pins against range claims (claims.ts): a pin is inserted first and looks for claims second; a claim is inserted first
 * and looks for pins second. Both go through sequentially consistent operations, so at least one sees the other:
 *   1. pin inserted   2. claim inserted   3. pin sees the claim and undoes itself   3'. or the claim waits for the pin
 */
import * as errno from '../os/errno.ts';
import { assert } from '../shm/assert.ts';
import { type Mailboxes, wakeMask } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { type Bits, testBit } from './bits.ts';
import { type Claim, type Claims, claimed, release, waits } from './claims.ts';
import {
  bucketOf,
  FILLED,
  findRecord,
  HANDED,
  insertRecord,
  nextInTurn,
  reap,
  type SlotTable,
  WATCHED,
} from './slot_table.ts';

export const ENOENT = -errno.ENOENT;
export const ENOMEM = -errno.ENOMEM;
export const EEXIST = -errno.EEXIST;
/** What writebackDone answers; 0 where the buffer is not free yet. */
export const ENDED = { RETIRED: 0, WRITTEN: 1, SUPERSEDED: 2 } as const;

/** One thread's way to the slot table. */
export class Slots {
  readonly t: SlotTable;
  private readonly users: Bits;
  private readonly claims: Claims;
  private readonly boxes: Mailboxes;
  private readonly thread: number;
  /** Takes back a writeback buffer that writebackDone could not give up, because a reader was copying from it. */
  onRetired: ((buffer: number) => void) | null = null;

  constructor(t: SlotTable, users: Bits, claims: Claims, boxes: Mailboxes, thread: number) {
    this.t = t;
    this.users = users;
    this.claims = claims;
    this.boxes = boxes;
    this.thread = thread;
  }

  /** Pins for a request. Returns the record (> 0), or EEXIST / ENOMEM; then this thread will be woken. */
  pin(x: number, slot: number): number {
    return this.acquire(x, slot, 1 << this.thread);
  }

  /**
   * As pin, for one who comes back until he has it, or says that he will not (forgo). Without turns a thread that is busy with
   * others finds the pin taken again whenever it looks:
   *   1. A drops the pin, which B and C wait for   2. B is woken, pins, and C finds it pinned   3. A wants it again, and so on
   * `place` is his in the line of claims, if a claim is what he waits for (claims.ts).
   */
  pinInTurn(x: number, slot: number, place: Claim | null = null): number {
    const r = this.acquire(x, slot, 1 << this.thread, 1 << this.thread, place);
    if (r > 0 && place !== null && waits(place)) release(this.claims, place, this.boxes);
    return r;
  }

  /** This thread waits no more for the slot by pinInTurn, or one that does begins anew. */
  forgo(x: number, slot: number, place: Claim): void {
    const { t } = this;
    if (waits(place)) release(this.claims, place, this.boxes);
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    const r = findRecord(t, b, x, slot);
    if (r !== 0) t.wants[r] &= ~(1 << this.thread);
    const handed = r !== 0 && t.locked[r] === (HANDED | (this.thread + 1));
    if (handed) t.locked[r] = this.thread + 1;
    sync.unlock(t.buckets, b);
    if (handed) this.unpin(r);
  }

  /** Pins for a request that already holds a pin, or has something better to do than wait. */
  tryPin(x: number, slot: number): number {
    return this.acquire(x, slot, 0);
  }

  /** Pins for writeback: never waits, and answers ENOENT for a slot that nobody uses. */
  pinForWriteback(x: number, slot: number): number {
    if (!testBit(this.users, x, slot)) return ENOENT;
    const r = this.acquire(x, slot, 0);
    if (r > 0 && !testBit(this.users, x, slot)) {
      this.unpin(r);
      return ENOENT;
    }
    return r;
  }

  private acquire(x: number, slot: number, waiter: number, wants = 0, place: Claim | null = null): number {
    const { t } = this;
    const me = this.thread + 1;
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    let r = findRecord(t, b, x, slot);
    if (r === 0) r = insertRecord(t, b, x, slot, waiter);
    if (r === 0) {
      sync.unlock(t.buckets, b);
      return ENOMEM;
    }
    if (t.locked[r] !== 0 && (wants === 0 || t.locked[r] !== (HANDED | me))) {
      t.waiters[r] |= waiter;
      t.wants[r] |= wants;
      sync.unlock(t.buckets, b);
      return EEXIST;
    }
    t.locked[r] = me;
    sync.unlock(t.buckets, b);
    if (claimed(this.claims, x, slot, waiter, place)) {
      this.drop(r, false);
      return EEXIST;
    }
    return r;
  }

  /** Drops the pin, or hands it on. Whoever waited for it looks again. */
  unpin(r: number): void {
    this.drop(r, true);
  }

  /**
   * Who undoes his pin for a claim hands it to nobody: all who want it find the claim too, and then wait for that.
   *   1. a range is claimed   2. A is handed the pin, finds the claim, and hands the pin to B   3. another of A's thread wants it
   *   4. B finds the claim, and hands the pin to A's thread, and so on for as long as the claim stands
   */
  private drop(r: number, handOn: boolean): void {
    const { t } = this;
    const b = bucketOf(t.volume[r], t.slot[r]);
    sync.lock(t.buckets, b);
    const held = t.locked[r] !== 0 && (t.locked[r] & HANDED) === 0;
    const next = held && handOn ? nextInTurn(t.wants[r], this.thread) : -1;
    if (held) t.locked[r] = next < 0 ? 0 : HANDED | (next + 1);
    const told = next < 0 ? t.wants[r] : 1 << next;
    t.wants[r] &= ~told;
    const waiters = (t.waiters[r] & ~WATCHED) | told;
    t.waiters[r] = 0;
    const retired = t.retired[r];
    t.retired[r] = 0;
    if (retired !== 0 && t.page[r] === retired) t.page[r] = 0;
    // A record that was unpinned before may be on the free list already, where reap would look for it without end.
    const refused = held ? reap(t, b, r) : 0;
    sync.unlock(t.buckets, b);
    if (retired !== 0) this.onRetired?.(retired);
    if (!held) throw new Error(`slot record ${r} was unpinned twice`);
    if ((waiters | refused) !== 0) wakeMask(this.boxes, waiters | refused);
  }

  /**
   * True if somebody holds the pin; then this thread is woken when it is dropped. For who has claimed the slot: whoever is
   * handed the pin, and has not come for it, will find the claim when he comes, and undo it.
   */
  isPinned(x: number, slot: number): boolean {
    const { t } = this;
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    const r = findRecord(t, b, x, slot);
    const pinned = r !== 0 && t.locked[r] !== 0 && (t.locked[r] & HANDED) === 0;
    if (pinned) t.waiters[r] |= 1 << this.thread;
    sync.unlock(t.buckets, b);
    return pinned;
  }

  /** The page of the pinned record is there. */
  fill(r: number): void {
    sync.or(this.t.locked, r, FILLED);
  }

  /**
   * Waits until the slot's pin is dropped or has its page. False without waiting if there is nothing to wait for: the pin
   * has its page, or the slot is in a claimed range, whose owner may be waiting for the caller.
   */
  waitUnpinned(x: number, slot: number): boolean {
    const { t } = this;
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    const r = findRecord(t, b, x, slot);
    const holder = r === 0 ? 0 : t.locked[r];
    const hasPage = holder !== 0 && ((holder & FILLED) !== 0 || t.page[r] !== 0);
    sync.unlock(t.buckets, b);
    if (hasPage || claimed(this.claims, x, slot, 0)) return false;
    if (holder !== 0) sync.retry(t.locked, r, holder);
    return true;
  }

  /** Makes `buffer` the slot's content and counts its image write. Pin held. */
  attachPage(r: number, buffer: number): void {
    const { t } = this;
    const b = bucketOf(t.volume[r], t.slot[r]);
    sync.lock(t.buckets, b);
    assert(t.locked[r] !== 0 && buffer !== 0, 'a page is attached under the pin');
    t.page[r] = buffer;
    t.wb[r]++;
    sync.unlock(t.buckets, b);
  }

  /** The slot's content is no longer its page: an entry, the image or nothing took its place. Pin held. */
  dropPage(r: number): void {
    this.t.page[r] = 0;
  }

  /** As dropPage, for a caller that holds a range claim or owns the image queue. */
  dropPageOf(x: number, slot: number): void {
    const { t } = this;
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    const r = findRecord(t, b, x, slot);
    if (r !== 0) t.page[r] = 0;
    sync.unlock(t.buckets, b);
  }

  /** True while `buffer` still is the content of the slot. */
  pageIs(x: number, slot: number, buffer: number): boolean {
    const { t } = this;
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    const r = findRecord(t, b, x, slot);
    const same = r !== 0 && t.page[r] === buffer;
    sync.unlock(t.buckets, b);
    return same;
  }

  /**
   * The image write of `buffer` ended for good: the image holds it (WRITTEN), or something newer took its place (SUPERSEDED);
   * the buffer is free now. RETIRED if somebody holds the pin and may be copying from it: onRetired gets it when the pin goes.
   *   1. a reader pins and finds the page   2. its image write ends   3. the buffer is reused for another slot
   *   4. the reader would copy the other slot's bytes
   */
  writebackDone(x: number, slot: number, buffer: number): number {
    const { t } = this;
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    const r = findRecord(t, b, x, slot);
    const counted = r !== 0 && t.wb[r] > 0;
    let ended: number = ENDED.SUPERSEDED;
    let refused = 0;
    if (counted) {
      t.wb[r]--;
      if (t.page[r] === buffer) ended = t.locked[r] !== 0 ? ENDED.RETIRED : ENDED.WRITTEN;
      if (ended === ENDED.RETIRED) t.retired[r] = buffer;
      else if (ended === ENDED.WRITTEN) t.page[r] = 0;
      refused = reap(t, b, r);
    }
    sync.unlock(t.buckets, b);
    if (refused !== 0) wakeMask(this.boxes, refused);
    if (!counted) throw new Error(`writeback of slot ${slot} ended without having begun`);
    return ended;
  }

  /**
   * The pin's holder has failed to write a newer page: the slot's page counts again, though its own image write has ended,
   * and needs another one. Its buffer, or 0 where there is nothing to write again.
   */
  unretire(x: number, slot: number): number {
    const { t } = this;
    const b = bucketOf(x, slot);
    sync.lock(t.buckets, b);
    const r = findRecord(t, b, x, slot);
    const buffer = r === 0 ? 0 : t.retired[r];
    if (buffer !== 0) {
      t.retired[r] = 0;
      t.wb[r]++;
    }
    sync.unlock(t.buckets, b);
    return buffer;
  }
}
