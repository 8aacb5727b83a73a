/**
 * Shares: how a fixed set (page buffers, slot records, places for orders) is divided among the exports, so that one whose
 * image stalls can't take what the others need.
 *
 *   half of the set   divided evenly: each export has its own part, whatever the others hold, and at least one if there are
 *                     as many as exports
 *   the rest          for whoever comes first; an export that is alone can have all of the set
 *
 * A thread that is refused is woken when something comes back that its export may take: of the rest, or of its own part.
 * Whoever calls holds the lock of the set, or is the only thread that uses it.
 */
import { assert } from '../shm/assert.ts';
import { int32 } from '../shm/columns.ts';

export interface Shares {
  /** What each export has for itself. */
  readonly own: number;
  /** Per export: what it holds. */
  readonly held: Int32Array;
  /** Per export: the threads that were refused. */
  readonly waiting: Int32Array;
  /** [left of the rest, 1 while somebody may be waiting] */
  readonly rest: Int32Array;
}

const LEFT = 0;
const ANYBODY = 1;

/** Divides `capacity` things among `exports`. */
export function createShares(capacity: number, exports: number): Shares {
  return divide(capacity, exports, int32);
}

/** As createShares, for the thread that calls alone: memory that is shared costs a mapping for each of the columns. */
export function createOwnShares(capacity: number, exports: number): Shares {
  return divide(capacity, exports, (length) => new Int32Array(length));
}

function divide(capacity: number, exports: number, column: (length: number) => Int32Array): Shares {
  const own = Math.max(Math.floor(capacity / 2 / exports), Math.min(1, Math.floor(capacity / exports)));
  const rest = column(2);
  rest[LEFT] = capacity - own * exports;
  return { own, held: column(exports), waiting: column(exports), rest };
}

/** Counts one for export `x`; false when it may have no more, and then the threads in `waiters` are going to be woken. */
export function takeShare(s: Shares, x: number, waiters: number): boolean {
  if (s.held[x] >= s.own) {
    if (s.rest[LEFT] === 0) {
      s.waiting[x] |= waiters;
      if (waiters !== 0) s.rest[ANYBODY] = 1;
      return false;
    }
    s.rest[LEFT]--;
  }
  s.held[x]++;
  return true;
}

/** Takes one off export `x`; returns the threads to wake once the lock is dropped. */
export function giveShare(s: Shares, x: number): number {
  assert(s.held[x] > 0, 'what is given back was taken');
  s.held[x]--;
  const ofRest = s.held[x] >= s.own;
  if (ofRest) s.rest[LEFT]++;
  if (s.rest[ANYBODY] === 0) return 0;
  if (!ofRest) return forget(s, x);
  s.rest[ANYBODY] = 0;
  let waiters = 0;
  for (let other = 0; other < s.waiting.length; other++) waiters |= forget(s, other);
  return waiters;
}

function forget(s: Shares, x: number): number {
  const waiters = s.waiting[x];
  s.waiting[x] = 0;
  return waiters;
}

/** How many more export `x` may have now. Without the lock it is a hint. */
export function leftFor(s: Shares, x: number): number {
  return Math.max(0, s.own - s.held[x]) + s.rest[LEFT];
}
