/**
 * What agents report, carried out: batch by batch of each export, record by record, slot by slot (owner.ts). It belongs to the
 * shrinker's thread, and takes turns with everything else there: SLOTS_PER_TURN slots, of the exports in turn, then the event
 * loop runs.
 *
 * A slot that is in use is waited for, and what comes behind it in the batch waits as well, because the reports of one slot have
 * an order. So an image that stalls stalls the agent of its own export. One batch of an export is here at a time: the next one
 * is answered when this one has ended (served_agents.ts), which bounds what is kept.
 */
import { nowMicros } from '../os/clock.ts';
import { findNamed, rowOfNumber } from '../pool/owners.ts';
import { forget, free, REPORTED, report } from './owner.ts';
import type { Zswap } from './zswap.ts';

/** What a record says of its slots. */
export const RECORD = { FREE: 0, CHARGE: 1, SEEN: 2 } as const;

/** A batch of export `x`, as columns of its records. Times and `error` in microseconds of the clock of stamps. */
export interface ReportBatch {
  readonly x: number;
  /** Everything that was said before is void. */
  readonly forget: boolean;
  readonly error: number;
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
/** Pages that are being dropped, each with the pin of its slot, until the image has forgotten what it had of it. */
const DROPS_MAX = 64;
/** Of a resync: slots that are looked at whether they have an owner. */
const SCANNED_PER_TURN = 2 ** 18;

interface Running {
  readonly batch: ReportBatch;
  readonly result: BatchResult;
  readonly done: (result: BatchResult) => void;
  /** Slots before it have no owner any more. */
  forgotten: number;
  record: number;
  /** Slots of that record that are done. */
  slots: number;
  dropping: number;
}

/** Has the image forget a slot, after everything that is queued for it. */
type Punch = (x: number, slot: number, done: (errno: number) => void) => void;

export class Reports {
  private readonly zswap: Zswap;
  private readonly schedule: () => void;
  private readonly punch: Punch;
  private readonly moved: (m: number) => void;
  private dropping = 0;
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
    const { pages } = this.zswap.settings.exports[batch.x];
    this.running.push({ batch, result, done, forgotten: batch.forget ? 0 : pages, record: 0, slots: 0, dropping: 0 });
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
    let left = slots;
    for (let scanned = 0; one.forgotten < pages; left--) {
      if (left === 0 || scanned >= SCANNED_PER_TURN) return true;
      const from = one.forgotten;
      one.forgotten = findNamed(this.zswap.memcgs.owners, batch.x, from, Math.min(pages, from + SCANNED_PER_TURN));
      scanned += one.forgotten - from;
      if (one.forgotten === pages || scanned >= SCANNED_PER_TURN) continue;
      if (!this.pinned(batch.x, one.forgotten, (slot) => forget(this.zswap, batch.x, slot), one)) return false;
      one.forgotten++;
    }
    // A time in the future is none that a guest can know of.
    const now = nowMicros();
    for (; one.record < batch.slots.length; left--) {
      if (left <= 0) return true;
      if (this.dropping === DROPS_MAX) return false;
      const slot = batch.slots[one.record] + one.slots;
      if (!this.pinned(batch.x, slot, () => this.apply(one, slot, now), one)) return false;
      one.result.applied++;
      if (++one.slots < batch.counts[one.record]) continue;
      one.record++;
      one.slots = 0;
    }
    return one.dropping > 0 ? false : null;
  }

  private pinned(x: number, slot: number, use: (slot: number) => number, one: Running): boolean {
    const { slots } = this.zswap;
    // Not in turn: whoever is handed a pin has to come for it, and reclaim of this thread may wait for that very pin.
    const r = slots.pin(x, slot);
    if (r <= 0) return false;
    const dead = use(slot) === REPORTED.DEAD;
    if (dead && this.zswap.settings.dead === 'drop' && !this.zswap.isSwappedOff(x)) this.drop(x, slot, r, one);
    else slots.unpin(r);
    return true;
  }

  /**
   * What a TRIM does, with the pin in place of a claim: whoever is newer has to wait for it, and a WRITE that came before us is
   * not what is dropped, because its page has a later stamp (owner.ts, free).
   */
  private drop(x: number, slot: number, r: number, one: Running): void {
    const { zswap } = this;
    zswap.invalidate(x, slot);
    this.dropping++;
    one.dropping++;
    this.punch(x, slot, (errno) => {
      // The image still has what is older than the page that is gone: nobody may read that.
      if (errno !== 0) zswap.lose(x, slot);
      zswap.slots.unpin(r);
      this.dropping--;
      one.dropping--;
      this.schedule();
    });
  }

  private apply({ batch, result, record }: Running, slot: number, now: number): number {
    const { x, error } = batch;
    const kind = batch.kinds[record];
    const time = Math.min(batch.times[record], now);
    if (kind === RECORD.FREE) {
      const done = free(this.zswap, x, slot, time - error);
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
