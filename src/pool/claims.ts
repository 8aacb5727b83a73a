/**
 * Range claims: TRIM, WRITE_ZEROES and swapoff take a range of slots for themselves, a slice at a time.
 *
 * Each export has a table of its own, of CLAIMS_MAX rows, so that ranges that wait for one image keep nobody else waiting
 * and are not in the way of anybody else's pins. A range that overlaps a claimed one, or finds no row, waits. While a claim
 * stands, no slot in it can be pinned; its owner waits for the pins that were there before (slots.ts says why one of the
 * two always sees the other), and then has the slots to itself.
 *
 * Who waits stands in a line, and nobody claims what overlaps a range that is in front of his:
 *   1. A claims slot 0   2. B wants slots 0 to 511, and waits   3. C claims slot 1   4. A releases: B still waits, for C, and
 *   so on for as long as there are claims in its range
 * The line has as many places as there are rows. Who finds it full waits without a place, and looks for one when he is woken.
 */
import { assert } from '../shm/assert.ts';
import { int32, uint32 } from '../shm/columns.ts';
import { type Mailboxes, wakeMask } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';

/** Rows of one export, and places in its line. */
export const CLAIMS_MAX = 64;

export interface Claims {
  readonly first: Uint32Array;
  /** 0 for a free row. */
  readonly end: Uint32Array;
  /** The ranges in line. */
  readonly wantedFirst: Uint32Array;
  readonly wantedEnd: Uint32Array;
  /** How many places of the line there are up to this one, itself included; 0 for a free place. */
  readonly turn: Int32Array;
  /** Per export, CLAIM_WORDS apart: [lock, rows in use, waiting threads, places in use] */
  readonly control: Int32Array;
}

/** What somebody has of the table: a row if his claim stands, a place in line while he waits, else NONE. */
export interface Claim {
  row: number;
  place: number;
}

const NONE = -1;
/** A line of the cache for each export: every pin looks at the second word. */
export const CLAIM_WORDS = 16;
const LOCK = 0;
const ACTIVE = 1;
const WAITING = 2;
const IN_LINE = 3;

export function createClaims(exports: number): Claims {
  const rows = exports * CLAIMS_MAX;
  return {
    first: uint32(rows),
    end: uint32(rows),
    wantedFirst: uint32(rows),
    wantedEnd: uint32(rows),
    turn: int32(rows),
    control: int32(exports * CLAIM_WORDS),
  };
}

export function noClaim(): Claim {
  return { row: NONE, place: NONE };
}

export function stands(mine: Claim): boolean {
  return mine.row !== NONE;
}

/** Whether it has a place in line. */
export function waits(mine: Claim): boolean {
  return mine.place !== NONE;
}

/**
 * Claims slots [first, end), at least one. False when the caller has to wait: then `thread` is going to be woken, and `mine`
 * keeps its place in line until the claim stands or is released. Asked again, the range may have become smaller.
 */
export function claim(c: Claims, x: number, first: number, end: number, thread: number, mine: Claim): boolean {
  assert(first < end, 'a claim holds a slot: a row without one is free');
  assert(mine.row === NONE, 'one range at a time');
  const words = x * CLAIM_WORDS;
  sync.lock(c.control, words + LOCK);
  const row = isWantedBefore(c, x, first, end, mine.place) ? NONE : freeRow(c, x, first, end);
  if (row !== NONE) {
    c.first[row] = first;
    c.end[row] = end;
    mine.row = row;
    leaveLine(c, x, mine);
    sync.add(c.control, words + ACTIVE, 1);
  } else {
    waitInLine(c, x, first, end, mine);
    c.control[words + WAITING] |= 1 << thread;
  }
  sync.unlock(c.control, words + LOCK);
  return row !== NONE;
}

/** A row for the range, or NONE where it overlaps a claim or there is none. Lock held, as by all below. */
function freeRow(c: Claims, x: number, first: number, end: number): number {
  const rows = (x + 1) * CLAIMS_MAX;
  let row = NONE;
  for (let i = x * CLAIMS_MAX; i < rows; i++) {
    if (c.end[i] === 0) row = i;
    else if (first < c.end[i] && c.first[i] < end) return NONE;
  }
  return row;
}

/** Whether a range that overlaps this one has an earlier turn than `place`, or any turn if that is none. */
function isWantedBefore(c: Claims, x: number, first: number, end: number, place: number): boolean {
  if (c.control[x * CLAIM_WORDS + IN_LINE] === 0) return false;
  const before = place === NONE ? CLAIMS_MAX + 1 : c.turn[place];
  const places = (x + 1) * CLAIMS_MAX;
  for (let i = x * CLAIMS_MAX; i < places; i++) {
    if (c.turn[i] === 0 || c.turn[i] >= before) continue;
    if (first < c.wantedEnd[i] && c.wantedFirst[i] < end) return true;
  }
  return false;
}

function waitInLine(c: Claims, x: number, first: number, end: number, mine: Claim): void {
  const length = x * CLAIM_WORDS + IN_LINE;
  if (mine.place === NONE && c.control[length] < CLAIMS_MAX) {
    mine.place = x * CLAIMS_MAX;
    while (c.turn[mine.place] !== 0) mine.place++;
    c.turn[mine.place] = ++c.control[length];
  }
  if (mine.place === NONE) return;
  c.wantedFirst[mine.place] = first;
  c.wantedEnd[mine.place] = end;
}

function leaveLine(c: Claims, x: number, mine: Claim): void {
  if (mine.place === NONE) return;
  const turn = c.turn[mine.place];
  c.turn[mine.place] = 0;
  c.control[x * CLAIM_WORDS + IN_LINE]--;
  for (let i = x * CLAIMS_MAX; i < (x + 1) * CLAIMS_MAX; i++) if (c.turn[i] > turn) c.turn[i]--;
  mine.place = NONE;
}

/** Rows and places in use, of all exports. */
export function claimsHeld(c: Claims): number {
  let held = 0;
  for (let words = 0; words < c.control.length; words += CLAIM_WORDS) {
    held += sync.load(c.control, words + ACTIVE) + sync.load(c.control, words + IN_LINE);
  }
  return held;
}

/** Gives back what `mine` has, a row or a place. */
export function release(c: Claims, mine: Claim, boxes: Mailboxes): void {
  const { row, place } = mine;
  assert(stands(mine) || waits(mine), 'a claim is released once');
  const x = Math.floor(Math.max(row, place) / CLAIMS_MAX);
  const words = x * CLAIM_WORDS;
  sync.lock(c.control, words + LOCK);
  leaveLine(c, x, mine);
  if (row !== NONE) {
    c.end[row] = 0;
    mine.row = NONE;
    sync.add(c.control, words + ACTIVE, -1);
  }
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

/**
 * True if somebody claims the slot; the threads in `waiters` are then woken when a claim is released. Who waits for the slot
 * by `mine` stands in line as a range of one slot does, and is to give his place back when he has it: he needs no claim.
 */
export function claimed(c: Claims, x: number, slot: number, waiters: number, mine: Claim | null = null): boolean {
  const words = x * CLAIM_WORDS;
  if (sync.load(c.control, words + ACTIVE) === 0) return false;
  sync.lock(c.control, words + LOCK);
  const rows = (x + 1) * CLAIMS_MAX;
  let found = false;
  // A free row ends at 0, and so holds no slot.
  for (let i = x * CLAIMS_MAX; i < rows && !found; i++) found = slot >= c.first[i] && slot < c.end[i];
  if (found) {
    c.control[words + WAITING] |= waiters;
    if (mine !== null) waitInLine(c, x, slot, slot + 1, mine);
  }
  sync.unlock(c.control, words + LOCK);
  return found;
}
