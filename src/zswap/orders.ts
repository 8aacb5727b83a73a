/**
 * What lanes ask of the shrinker thread, and how the answers come back: fixed records in two rings.
 *
 *   order   [kind, export, slot, count or buffer or memcg, lane thread, token]
 *   answer  [token, errno]
 *
 * A lane has at most ORDERS_PER_LANE orders under way, which is the capacity of its ring of answers, so an answer always
 * finds room. They are divided among the exports (shares.ts), so that orders that wait for one image don't keep those of
 * another waiting. Of those of one export, FLUSH and PERSIST may have a part only, because they wait for pins and claims, and
 * whoever holds one may need a place to get rid of it:
 *   1. a TRIM holds its claim   2. FLUSHes take every place   3. one of them waits for the claim   4. the TRIM's punch finds no
 *      place, and keeps its claim
 * All other orders end by themselves. The ring of orders is shared, and emptied whatever the images do; a lane that finds it full keeps the
 * order and is woken when there is room.
 */
import { LANES_MAX, THREAD_LANE0, THREAD_SHRINKER } from '../pool/limits.ts';
import { CTL, ORDERS_PER_LANE, type Shared } from '../pool/shared.ts';
import { createOwnShares, giveShare, leftFor, type Shares, takeShare } from '../pool/shares.ts';
import { pop, push, RECORD_WORDS, wake } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';

export const ORDER = {
  /** Write request buffer `n` to the slot. */
  WRITE: 1,
  /** Punch `n` slots. */
  PUNCH: 2,
  /** Write zeros over `n` slots, provisioned. */
  ZERO: 3,
  /** Make everything answered so far durable. */
  FLUSH: 4,
  /** Make `n` slots durable. */
  PERSIST: 5,
  /** Shrink memcg `n`; the answer is 0, or nonzero when nothing was written back. */
  SHRINK: 6,
  /** Reclaim a page of the allocator for a store of memcg `n`; the answer as of SHRINK. */
  RECLAIM: 7,
} as const;

export type Answer = (errno: number) => void;

/** The lane's end. */
export class OrderBook {
  private readonly shared: Shared;
  private readonly thread: number;
  private readonly answers: (Answer | null)[] = [];
  private readonly free: number[] = [];
  private readonly unsent: Int32Array[] = [];
  private readonly record = new Int32Array(RECORD_WORDS);
  /** This thread's alone. */
  private readonly shares: Shares;
  private readonly exportOf: number[] = [];
  /** Per token: the order waits for pins. */
  private readonly isSync: boolean[] = [];
  /** Per export: FLUSH and PERSIST orders under way, and how many there may be. */
  private readonly syncs: number[];
  private readonly syncsMax: number;
  underway = 0;

  constructor(shared: Shared, thread: number) {
    this.shared = shared;
    this.thread = thread;
    this.shares = createOwnShares(ORDERS_PER_LANE, shared.settings.exports.length);
    this.syncs = shared.settings.exports.map(() => 0);
    this.syncsMax = Math.max(1, Math.floor(this.shares.own / 2));
  }

  /** False when this lane has as many orders under way for export `x` as it may; try again after the next answer. */
  hasRoom(x: number, kind: number = ORDER.WRITE): boolean {
    return leftFor(this.shares, x) > 0 && (!waitsForPins(kind) || this.syncs[x] < this.syncsMax);
  }

  /** Sends an order; `answer` is called from look(), never from here. The caller asked hasRoom. */
  send(kind: number, x: number, slot: number, n: number, answer: Answer): void {
    if (!takeShare(this.shares, x, 0)) throw new Error('more orders under way than the ring of answers holds');
    this.underway++;
    const token = this.free.pop() ?? this.answers.length;
    this.answers[token] = answer;
    this.exportOf[token] = x;
    this.isSync[token] = waitsForPins(kind);
    if (this.isSync[token]) this.syncs[x]++;
    const record = Int32Array.of(kind, x, slot, n, this.thread, token);
    if (this.unsent.length > 0 || !push(this.shared.orders, record, this.thread)) this.unsent.push(record);
    else wake(this.shared.boxes, THREAD_SHRINKER);
  }

  /** Delivers the answers that came, and sends what found no room. */
  look(): void {
    const ring = this.shared.answers[this.thread - THREAD_LANE0];
    while (pop(ring, this.record, this.shared.boxes)) {
      const token = this.record[0];
      const answer = this.answers[token];
      this.answers[token] = null;
      this.free.push(token);
      this.underway--;
      giveShare(this.shares, this.exportOf[token]);
      if (this.isSync[token]) this.syncs[this.exportOf[token]]--;
      answer?.(this.record[1]);
    }
    let sent = 0;
    while (sent < this.unsent.length && push(this.shared.orders, this.unsent[sent], this.thread)) sent++;
    if (sent > 0) {
      this.unsent.splice(0, sent);
      wake(this.shared.boxes, THREAD_SHRINKER);
    }
  }
}

function waitsForPins(kind: number): boolean {
  return kind === ORDER.FLUSH || kind === ORDER.PERSIST;
}

/** Asks the shrinker for its global worker: a store was rejected for want of `what`, bits of WORK. */
export function requestWork(shared: Shared, what: number): void {
  if ((sync.or(shared.control, CTL.WORK, what) & what) === 0) wake(shared.boxes, THREAD_SHRINKER);
}

/** The shrinker's end: sends an answer. */
export function answerOrder(shared: Shared, thread: number, token: number, errno: number): void {
  if (thread < THREAD_LANE0 || thread >= THREAD_LANE0 + LANES_MAX) throw new Error(`thread ${thread} is no lane`);
  const record = Int32Array.of(token, errno, 0, 0, 0, 0);
  if (!push(shared.answers[thread - THREAD_LANE0], record, THREAD_SHRINKER)) throw new Error('ring of answers is full');
  wake(shared.boxes, thread);
}
