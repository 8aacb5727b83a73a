/**
 * FLUSH and FUA of one export (strict durability): what was answered before the request is on the disk when it is answered.
 * Lives in the shrinker thread.
 *
 *   request -> waiting -> round: takes the dirty slots of its ranges -> Cleaning: copies, then one sync -> answered
 *
 * Two rounds at once: one of FLUSHes and one of FUAs, so that a FUA of a page waits for no FLUSH of a whole export. Requests
 * of a kind that wait are answered by one round, with one sync. A slot's debt moves from the dirty bits to the round that
 * took it, and back if the round fails, so at each moment it is known somewhere. What a FLUSH has taken and not ended, a FUA
 * of it copies once more; a FLUSH waits for the round of FUAs that was there before it, if that owes anything.
 */
import { type Dirty, mergeSlots, setDirty, takeDirty } from '../pool/dirty.ts';

/** Slots [first, end). */
interface Range {
  readonly first: number;
  readonly end: number;
}

interface Waiting extends Range {
  /** The whole export: a FLUSH. */
  readonly whole: boolean;
  readonly answer: (errno: number) => void;
  /** Rounds that have to end before the answer. */
  rounds: number;
  errno: number;
}

interface Round {
  readonly whole: boolean;
  /** In ascending order. */
  readonly slots: Uint32Array;
  readonly waiting: Waiting[];
}

/**
 * Before a round is answered: has the marker vouch for no more than is known to be there (vouch.ts), then calls back with 0, or an
 * error. `whole`: the round was one of FLUSHes, and has ended well.
 */
type Settle = (whole: boolean, done: (errno: number) => void) => void;

/** Cleans slots, syncs, and calls back with 0 or an error. */
type Clean = (slots: Uint32Array, done: (errno: number) => void) => void;

export class Flusher {
  private readonly dirty: Dirty;
  private readonly x: number;
  private readonly clean: Clean;
  private readonly settle: Settle;
  /** One per request of a lane, which has a bounded number of orders under way. */
  private waiting: Waiting[] = [];
  private rounds: Round[] = [];

  constructor(dirty: Dirty, x: number, clean: Clean, settle: Settle) {
    this.dirty = dirty;
    this.x = x;
    this.clean = clean;
    this.settle = settle;
  }

  /** Makes slots [first, end) durable as they were answered up to now. Begins with the next start(). */
  request(first: number, end: number, answer: (errno: number) => void): void {
    const whole = first === 0 && end >= this.dirty.pages[this.x];
    this.waiting.push({ first, end, whole, answer, rounds: 0, errno: 0 });
  }

  /** Begins a round for all that wait; called when all requests that have come were taken in. FUAs first, as they owe less. */
  start(): void {
    this.begin(false);
    this.begin(true);
  }

  private begin(whole: boolean): void {
    const mine = this.waiting.filter((request) => request.whole === whole);
    if (mine.length === 0 || this.rounds.some((round) => round.whole === whole)) return;
    this.waiting = this.waiting.filter((request) => request.whole !== whole);
    const [other] = this.rounds;
    const slots = concat(
      (whole ? [mine[0]] : united(mine)).map((range) => mergeSlots(this.take(range), owed(other, range))),
    );
    const round: Round = { whole, slots, waiting: [] };
    // Found out once, however many FLUSHes there are.
    const waits = whole && other !== undefined && owesAny(other.slots, slots);
    for (const request of mine) {
      if (waits) enlist(other, request);
      enlist(round, request);
    }
    this.rounds.push(round);
    this.clean(round.slots, (errno) => this.ended(round, errno));
  }

  private take({ first, end }: Range): Uint32Array {
    return takeDirty(this.dirty, this.x, first, end);
  }

  private ended(round: Round, errno: number): void {
    this.rounds = this.rounds.filter((other) => other !== round);
    if (errno !== 0) for (const slot of round.slots) setDirty(this.dirty, this.x, slot);
    this.settle(round.whole && errno === 0, (unsettled) => {
      for (const request of round.waiting) {
        if (request.errno === 0) request.errno = errno === 0 ? unsettled : errno;
        if (--request.rounds === 0) request.answer(request.errno);
      }
    });
    this.start();
  }
}

function enlist(round: Round, request: Waiting): void {
  round.waiting.push(request);
  request.rounds++;
}

/**
 * Ranges that have no slot in common, in ascending order. What the round costs are slots then, and not slots times requests:
 * hundreds of FUAs may be of gigabytes each, all of which a FLUSH has taken.
 */
export function united(ranges: readonly Range[]): Range[] {
  const all: Range[] = [];
  for (const { first, end } of [...ranges].sort((a, b) => a.first - b.first)) {
    const last = all.at(-1);
    if (last === undefined || last.end < first) all.push({ first, end });
    else all[all.length - 1] = { first: last.first, end: Math.max(last.end, end) };
  }
  return all;
}

/** What of the range an unfinished FLUSH has taken. A FUA of a page must not cost a look at the millions of a FLUSH. */
function owed(flush: Round | undefined, { first, end }: Range): Uint32Array {
  if (flush === undefined || flush.whole === false) return new Uint32Array(0);
  return flush.slots.subarray(lowerBound(flush.slots, first), lowerBound(flush.slots, end));
}

/** Whether `all` has a slot that `others` lacks, which have taken what is newer; both in ascending order. */
function owesAny(all: Uint32Array, others: Uint32Array): boolean {
  let at = 0;
  for (const slot of all) {
    while (at < others.length && others[at] < slot) at++;
    if (others[at] !== slot) return true;
  }
  return false;
}

/** Index of the first slot that is not below `slot`. */
function lowerBound(slots: Uint32Array, slot: number): number {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (slots[middle] < slot) low = middle + 1;
    else high = middle;
  }
  return low;
}

function concat(lists: readonly Uint32Array[]): Uint32Array {
  if (lists.length === 1) return lists[0];
  const all = new Uint32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}
