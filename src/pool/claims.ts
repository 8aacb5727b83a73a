/**
 * Range claims: TRIM, WRITE_ZEROES and swapoff take a range of slots for themselves, a slice at a time.
 *
 * The table has CLAIMS_MAX rows; a range that overlaps a claimed one, or finds no row, waits. While a claim stands, no
 * slot in it can be pinned; its owner waits for the pins that were there before (slots.ts says why one of the two always
 * sees the other), and then has the slots to itself.
 */
import { int32, uint32 } from '../shm/columns.ts';
import { type Mailboxes, wakeMask } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';

export const CLAIMS_MAX = 64;

export interface Claims {
  /** Volume + 1, or 0 for a free row. */
  readonly volume: Int32Array;
  readonly first: Uint32Array;
  readonly end: Uint32Array;
  /** [lock, rows in use, waiting threads] */
  readonly control: Int32Array;
}

const LOCK = 0;
const ACTIVE = 1;
const WAITING = 2;

export function createClaims(): Claims {
  return { volume: int32(CLAIMS_MAX), first: uint32(CLAIMS_MAX), end: uint32(CLAIMS_MAX), control: int32(4) };
}

/** Claims slots [first, end); returns the row, or -1 when the caller has to wait (its `thread` will be woken). */
export function claim(c: Claims, x: number, first: number, end: number, thread: number): number {
  sync.lock(c.control, LOCK);
  let row = -1;
  for (let i = 0; i < CLAIMS_MAX; i++) {
    if (c.volume[i] === 0) row = i;
    else if (c.volume[i] === x + 1 && first < c.end[i] && c.first[i] < end) {
      row = -1;
      break;
    }
  }
  if (row >= 0) {
    c.volume[row] = x + 1;
    c.first[row] = first;
    c.end[row] = end;
    sync.add(c.control, ACTIVE, 1);
  } else c.control[WAITING] |= 1 << thread;
  sync.unlock(c.control, LOCK);
  return row;
}

/** Rows in use. */
export function activeClaims(c: Claims): number {
  return sync.load(c.control, ACTIVE);
}

export function release(c: Claims, row: number, boxes: Mailboxes): void {
  sync.lock(c.control, LOCK);
  c.volume[row] = 0;
  sync.add(c.control, ACTIVE, -1);
  const waiting = c.control[WAITING];
  c.control[WAITING] = 0;
  sync.unlock(c.control, LOCK);
  if (waiting !== 0) wakeMask(boxes, waiting);
}

/** True if somebody claims the slot; the threads in `waiters` are then woken when a claim is released. */
export function claimed(c: Claims, x: number, slot: number, waiters: number): boolean {
  if (sync.load(c.control, ACTIVE) === 0) return false;
  sync.lock(c.control, LOCK);
  let found = false;
  for (let i = 0; i < CLAIMS_MAX && !found; i++) {
    found = c.volume[i] === x + 1 && slot >= c.first[i] && slot < c.end[i];
  }
  if (found) c.control[WAITING] |= waiters;
  sync.unlock(c.control, LOCK);
  return found;
}
