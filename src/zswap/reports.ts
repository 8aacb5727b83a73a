/**
 * What agents report, carried out: batch by batch of each export, record by record, slot by slot (owner.ts). It belongs to the
 * shrinker's thread, and takes turns with everything else there: SLOTS_PER_TURN slots, of the exports in turn, then the event
 * loop runs.
 *
 * A slot that is in use is waited for, and what comes behind it in the batch waits as well, because the reports of one slot have
 * an order; so is a run of slots whose dead pages are dropped (dead_drop.ts). So an image that stalls stalls the agent of its own export. One batch of an export is here at a time: the next one
 * is answered when this one has ended (served_agents.ts), which bounds what is kept.
 */
import { nowMicros } from '../os/clock.ts';
import { SLICE_SLOTS } from '../pool/limits.ts';
import { CGROUPS_MAX, findOwned, markNumbers, numberAt, rowOfNumber, slotsOf } from '../pool/owners.ts';
import { DeadDrop, type Punch } from './dead_drop.ts';
import { follow, forget, free, REPORTED, report } from './owner.ts';
import type { Zswap } from './zswap.ts';

/** What a record says of its slots. */
export const RECORD = { FREE: 0, CHARGE: 1, SEEN: 2 } as const;

/** A batch of export `x`, as columns of its records. Times and `error` in microseconds of the clock of stamps. */
export interface ReportBatch {
  readonly x: number;
  /** Everything that was said before is void. */
  readonly forget: boolean;
  /** Numbers that stand for another memcg from now on, though the one that they stood for stays, and that one. */
  readonly left?: ReadonlyMap<number, number>;
  readonly error: number;
  /** A time of it was later than its error allows when it came: whatever else it says of times is wrong as well, and kills nothing. */
  readonly isAhead: boolean;
  readonly kinds: Uint8Array;
  readonly slots: Uint32Array;
  readonly counts: Uint32Array;
  /** Of cgroups (owners.ts); NOBODY where one has no memcg. */
  readonly numbers: Uint16Array;
  readonly times: Float64Array;
}

/** What came of a batch, in slots. */
export interface BatchResult {
  applied: number;
  moved: number;
  late: number;
  dead: number;
}

/** About a millisecond. */
const SLOTS_PER_TURN = 1024;
/**
 * Runs of slots of one export that are being dropped, each with a claim until the image has forgotten what it had of them. The image
 * has the next punch at hand, and what a store has to send there does not stand behind many; nor does a TRIM find no claim.
 */
const DROPS_MAX = 4;
/** Slots that are looked at whose they are: in a resync, or for those of cgroups that are gone. */
const SCANNED_PER_TURN = 2 ** 18;

interface Running {
  readonly batch: ReportBatch;
  readonly result: BatchResult;
  readonly done: (result: BatchResult) => void;
  /** What is done first: to slots of these numbers, as many as there are, from slot `next` on. */
  readonly wanted: Uint8Array;
  sought: number;
  next: number;
  record: number;
  /** Slots of that record that are done. */
  slots: number;
  /** The run that the record is at, which waits for its claim, or for pins. */
  drop: DeadDrop | null;
  /** Up to DROPS_MAX. */
  dropping: number;
}

export class Reports {
  private readonly zswap: Zswap;
  private readonly schedule: () => void;
  private readonly punch: Punch;
  private readonly moved: (m: number) => void;
  /** At most one for each export, in turn. */
  private running: Running[] = [];

  /** `moved`: is told to which memcg a page has come. `schedule`: has turn() called soon. */
  constructor(zswap: Zswap, punch: Punch, moved: (m: number) => void, schedule: () => void) {
    this.zswap = zswap;
    this.moved = moved;
    this.punch = punch;
    this.schedule = schedule;
  }

  /** Calls `done` once, never from here. */
  begin(batch: ReportBatch, done: (result: BatchResult) => void): void {
    const result = { applied: 0, moved: 0, late: 0, dead: 0 };
    const numbers = batch.forget
      ? Array.from({ length: CGROUPS_MAX }, (_, i) => i + 1)
      : [...(batch.left?.keys() ?? [])];
    const { owners } = this.zswap.memcgs;
    const sought = numbers.reduce((sum, n) => sum + slotsOf(owners, batch.x, n), 0);
    const wanted = markNumbers(numbers);
    const begin = { wanted, sought, next: 0, record: 0, slots: 0 };
    this.running.push({ batch, result, done, ...begin, drop: null, dropping: 0 });
    this.schedule();
  }

  /** Some may wait for a pin; who drops it wakes this thread. */
  get waits(): boolean {
    return this.running.length > 0;
  }

  /** True while there is more that can be done at once. */
  turn(): boolean {
    const waiting: Running[] = [];
    const share = Math.ceil(SLOTS_PER_TURN / Math.max(1, this.running.length));
    for (let left = SLOTS_PER_TURN; this.running.length > 0 && left > 0; left -= share) {
      const one = this.running.shift()!;
      const goesOn = this.work(one, Math.min(left, share));
      if (goesOn === null) one.done(one.result);
      else (goesOn ? this.running : waiting).push(one);
    }
    const more = this.running.length > 0;
    this.running.push(...waiting);
    return more;
  }

  /** Null: it has ended. False: a slot of it is in use. */
  private work(one: Running, slots: number): boolean | null {
    const { batch } = one;
    const { pages } = this.zswap.settings.exports[batch.x];
    const { owners } = this.zswap.memcgs;
    let left = slots;
    for (let scanned = 0; one.sought > 0; left--) {
      if (left === 0 || scanned >= SCANNED_PER_TURN) return true;
      const from = one.next;
      one.next = findOwned(owners, batch.x, one.wanted, from, Math.min(pages, from + SCANNED_PER_TURN));
      scanned += one.next - from;
      if (one.next === pages) one.sought = 0;
      if (one.next === pages || scanned >= SCANNED_PER_TURN) continue;
      if (!this.pinned(batch.x, one.next, (slot) => this.pass(batch, slot))) return false;
      one.next++;
      one.sought--;
    }
    // A time in the future is none that a guest can know of.
    const now = nowMicros();
    while (one.record < batch.slots.length) {
      if (left <= 0) return true;
      const done = this.next(one, now);
      if (done === 0) return false;
      left -= done;
      one.result.applied += done;
      one.slots += done;
      if (one.slots < batch.counts[one.record]) continue;
      one.record++;
      one.slots = 0;
    }
    return one.dropping > 0 ? false : null;
  }

  /** Does what comes next of the record; returns how many slots that was, 0 for one that is in use. */
  private next(one: Running, now: number): number {
    const { batch, record } = one;
    const { x } = batch;
    const first = batch.slots[record] + one.slots;
    if (batch.kinds[record] === RECORD.FREE && this.zswap.settings.dead === 'drop' && !batch.isAhead) {
      // Who will be refused claims nothing, and gives back what it has, because a swapoff waits for all claims. Then pages only die.
      if (!this.zswap.isSwappedOff(x)) return this.dropRun(one, first, now);
      one.drop?.giveUp();
      one.drop = null;
    }
    return this.pinned(x, first, () => this.apply(one, first, now)) ? 1 : 0;
  }

  private dropRun(one: Running, first: number, now: number): number {
    const { batch, record } = one;
    if (one.dropping === DROPS_MAX) return 0;
    const end = Math.min(batch.slots[record] + batch.counts[record], first + SLICE_SLOTS);
    const drop = one.drop ?? new DeadDrop(this.zswap, batch.x, first, end);
    one.drop = drop;
    if (!drop.has()) return 0;
    one.drop = null;
    // Asked again when all is ours, because a swapoff may have begun in between:
    //   1. we find the export on   2. it closes, and waits for our claim   3. we wait for a pin, and would drop what it keeps
    if (this.zswap.isSwappedOff(batch.x)) {
      drop.giveUp();
      return this.next(one, now);
    }
    const isUnderWay = drop.drop(
      (slot) => this.apply(one, slot, now) === REPORTED.DEAD,
      this.punch,
      () => {
        one.dropping--;
        this.schedule();
      },
    );
    if (isUnderWay) one.dropping++;
    return end - first;
  }

  private pass({ x, forget: all, left }: ReportBatch, slot: number): number {
    const from = left?.get(numberAt(this.zswap.memcgs.owners, x, slot));
    return all || from === undefined ? forget(this.zswap, x, slot) : follow(this.zswap, x, slot, from);
  }

  private pinned(x: number, slot: number, use: (slot: number) => void): boolean {
    const { slots } = this.zswap;
    // Not in turn: whoever is handed a pin has to come for it, and reclaim of this thread may wait for that very pin.
    const r = slots.pin(x, slot);
    if (r <= 0) return false;
    use(slot);
    slots.unpin(r);
    return true;
  }

  private apply({ batch, result, record }: Running, slot: number, now: number): number {
    const { x, error } = batch;
    const kind = batch.kinds[record];
    const time = Math.min(batch.times[record], now);
    if (kind === RECORD.FREE) {
      const done = free(this.zswap, x, slot, batch.isAhead ? Number.NEGATIVE_INFINITY : time - error);
      if (done === REPORTED.DEAD) result.dead++;
      return done;
    }
    const [since, until] =
      kind === RECORD.CHARGE ? [time - error, Number.POSITIVE_INFINITY] : [Number.NEGATIVE_INFINITY, time + error];
    const done = report(this.zswap, x, slot, batch.numbers[record], since, until);
    if ((done & REPORTED.LATE) !== 0) result.late++;
    if ((done & REPORTED.MOVED) !== 0) {
      result.moved++;
      this.moved(rowOfNumber(this.zswap.memcgs.owners, x, batch.numbers[record]));
    }
    return done;
  }
}
