/**
 * Range claims: TRIM, WRITE_ZEROES and swapoff take a range of slots for themselves, a slice at a time.
 *
 * Each export has a table of its own, of CLAIMS_MAX rows, so that ranges that wait for one image keep nobody else waiting
 * and are not in the way of anybody else's pins. A range that overlaps a claimed one, or finds no row, waits. While a claim
 * stands, no slot in it can be pinned; its owner waits for the pins that were there before (slots.ts says why one of the
 * two always sees the other), and then has the slots to itself.
 */
import { assert } from '../shm/assert.ts';
import { int32, uint32 } from '../shm/columns.ts';
import { type Mailboxes, wakeMask } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';

/** Rows of one export. */
export const CLAIMS_MAX = 64;

export interface Claims {
  readonly first: Uint32Array;
  /** 0 for a free row. */
  readonly end: Uint32Array;
  /** Per export, CLAIM_WORDS apart: [lock, rows in use, waiting threads] */
  readonly control: Int32Array;
}

/** A line of the cache for each export: every pin looks at the second word. */
export const CLAIM_WORDS = 16;
const LOCK = 0;
const ACTIVE = 1;
const WAITING = 2;

export function createClaims(exports: number): Claims {
  const rows = exports * CLAIMS_MAX;
  return { first: uint32(rows), end: uint32(rows), control: int32(exports * CLAIM_WORDS) };
}

/** Claims slots [first, end), at least one; returns the row, or -1 when the caller has to wait (its `thread` will be woken). */
export function claim(c: Claims, x: number, first: number, end: number, thread: number): number {
  assert(first < end, 'a claim holds a slot: a row without one is free');
  const words = x * CLAIM_WORDS;
  const rows = (x + 1) * CLAIMS_MAX;
  sync.lock(c.control, words + LOCK);
  let row = -1;
  for (let i = x * CLAIMS_MAX; i < rows; i++) {
    if (c.end[i] === 0) row = i;
    else if (first < c.end[i] && c.first[i] < end) {
      row = -1;
      break;
    }
  }
  if (row >= 0) {
    c.first[row] = first;
    c.end[row] = end;
    sync.add(c.control, words + ACTIVE, 1);
  } else c.control[words + WAITING] |= 1 << thread;
  sync.unlock(c.control, words + LOCK);
  return row;
}

/** Rows in use, of all exports. */
export function activeClaims(c: Claims): number {
  let active = 0;
  for (let words = 0; words < c.control.length; words += CLAIM_WORDS) active += sync.load(c.control, words + ACTIVE);
  return active;
}

export function release(c: Claims, row: number, boxes: Mailboxes): void {
  const words = Math.floor(row / CLAIMS_MAX) * CLAIM_WORDS;
  sync.lock(c.control, words + LOCK);
  assert(c.end[row] !== 0, 'a claim is released once');
  c.end[row] = 0;
  sync.add(c.control, words + ACTIVE, -1);
  const waiting = c.control[words + WAITING];
  c.control[words + WAITING] = 0;
  sync.unlock(c.control, words + LOCK);
  if (waiting !== 0) wakeMask(boxes, waiting);
}

/** True if somebody claims any slot of the export; `thread` is then woken when a claim of it is released. */
export function anyClaimed(c: Claims, x: number, thread: number): boolean {
  const words = x * CLAIM_WORDS;
  sync.lock(c.control, words + LOCK);
  const found = sync.load(c.control, words + ACTIVE) > 0;
  if (found) c.control[words + WAITING] |= 1 << thread;
  sync.unlock(c.control, words + LOCK);
  return found;
}

/** True if somebody claims the slot; the threads in `waiters` are then woken when a claim is released. */
export function claimed(c: Claims, x: number, slot: number, waiters: number): boolean {
  const words = x * CLAIM_WORDS;
  if (sync.load(c.control, words + ACTIVE) === 0) return false;
  sync.lock(c.control, words + LOCK);
  const rows = (x + 1) * CLAIMS_MAX;
  let found = false;
  // A free row ends at 0, and so holds no slot.
  for (let i = x * CLAIMS_MAX; i < rows && !found; i++) found = slot >= c.first[i] && slot < c.end[i];
  if (found) c.control[words + WAITING] |= waiters;
  sync.unlock(c.control, words + LOCK);
  return found;
}
