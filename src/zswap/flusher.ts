/**
 * FLUSH and FUA of one export (strict durability): what was answered before the request is on the disk when it is answered.
 * Lives in the shrinker thread.
 *
 *   request -> waiting -> round: takes the dirty slots of its ranges -> Cleaning: copies, then one sync -> answered
 *
 * Requests that wait are answered by one round, with one sync. A slot's debt moves from the dirty bits to the round that
 * took it, and back if the round fails, so at each moment it is known somewhere. A request is answered when its own round
 * has ended well, and each older one that still owes a slot of its range.
 */
import { type Dirty, setDirty, takeDirty } from '../pool/dirty.ts';

/** Rounds under way at once: a second one, so that FUA of a page need not wait for the FLUSH of a whole export. */
const ROUNDS_MAX = 2;

interface Waiting {
  readonly first: number;
  readonly end: number;
  readonly answer: (errno: number) => void;
  /** Rounds that have to end before the answer. */
  rounds: number;
  errno: number;
}

interface Round {
  /** In ascending order. */
  readonly slots: Uint32Array;
  readonly waiting: Waiting[];
}

/** Cleans slots, syncs, and calls back with 0 or an error. */
type Clean = (slots: Uint32Array, done: (errno: number) => void) => void;

export class Flusher {
  private readonly dirty: Dirty;
  private readonly x: number;
  private readonly clean: Clean;
  /** One per request of a lane, which has a bounded number of orders under way. */
  private waiting: Waiting[] = [];
  private rounds: Round[] = [];

  constructor(dirty: Dirty, x: number, clean: Clean) {
    this.dirty = dirty;
    this.x = x;
    this.clean = clean;
  }

  /** Makes slots [first, end) durable as they were answered up to now. Begins with the next start(). */
  request(first: number, end: number, answer: (errno: number) => void): void {
    this.waiting.push({ first, end, answer, rounds: 0, errno: 0 });
  }

  /** Begins a round for all that wait; called when all requests that have come were taken in. */
  start(): void {
    if (this.waiting.length === 0 || this.rounds.length === ROUNDS_MAX) return;
    const { waiting, x, dirty } = this;
    this.waiting = [];
    const whole = waiting.find(({ first, end }) => first === 0 && end >= dirty.pages[x]);
    const taken = (whole === undefined ? waiting : [whole]).map(({ first, end }) => takeDirty(dirty, x, first, end));
    const round: Round = { slots: merge(taken), waiting: [] };
    for (const older of this.rounds) {
      // What this round has taken is newer, and enough. FLUSHes ask all the same: found out once, however many there are.
      let last: Waiting | null = null;
      let owes = false;
      for (const request of waiting) {
        if (last?.first !== request.first || last.end !== request.end)
          owes = owesAny(older.slots, round.slots, request);
        last = request;
        if (owes) enlist(older, request);
      }
    }
    for (const request of waiting) enlist(round, request);
    this.rounds.push(round);
    this.clean(round.slots, (errno) => this.ended(round, errno));
  }

  private ended(round: Round, errno: number): void {
    this.rounds = this.rounds.filter((other) => other !== round);
    if (errno !== 0) for (const slot of round.slots) setDirty(this.dirty, this.x, slot);
    for (const request of round.waiting) {
      if (request.errno === 0) request.errno = errno;
      if (--request.rounds === 0) request.answer(request.errno);
    }
    this.start();
  }
}

function enlist(round: Round, request: Waiting): void {
  round.waiting.push(request);
  request.rounds++;
}

/**
 * Whether `all` has a slot of the request that `others` lacks; all in ascending order. It costs what the request spans, up to the
 * first such slot: a FUA of a page beside the FLUSH of millions must not cost the images of all exports a look at the millions.
 */
function owesAny(all: Uint32Array, others: Uint32Array, { first, end }: Waiting): boolean {
  let at = lowerBound(others, first);
  for (let i = lowerBound(all, first); i < all.length && all[i] < end; i++) {
    while (at < others.length && others[at] < all[i]) at++;
    if (others[at] !== all[i]) return true;
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

/** No slot stands in two of the lists, because a bit is taken once. */
function merge(lists: readonly Uint32Array[]): Uint32Array {
  if (lists.length === 1) return lists[0];
  const all = new Uint32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all.sort();
}
