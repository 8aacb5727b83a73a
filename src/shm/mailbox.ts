/**
 * Wake-ups between threads, and bounded rings of small messages.
 *
 * A mailbox is one word per thread: wake() changes it, and the thread, which sits in its event loop, sees the change by
 * waitAsync. A wake-up carries no message; it means "look at your rings and parked requests again", so wake-ups may be
 * merged and a spurious one is harmless. A ring carries fixed records of words under a futex lock: many producers, one
 * consumer, and `push` refuses when it is full, so every ring is bounded by its capacity.
 */
import { int32 } from './columns.ts';
import * as sync from './sync.ts';

/** Longest sleep between two looks, in milliseconds: a missed wake-up would cost this much and no more. */
const LOOK_AGAIN_MS = 1000;

export type Mailboxes = Int32Array;

export function createMailboxes(threads: number): Mailboxes {
  return int32(threads);
}

export function wake(boxes: Mailboxes, thread: number): void {
  sync.add(boxes, thread, 1);
  sync.notify(boxes, thread);
}

/** Wakes every thread whose bit is set. */
export function wakeMask(boxes: Mailboxes, mask: number): void {
  for (let thread = 0; mask !== 0; thread++, mask >>>= 1) if ((mask & 1) !== 0) wake(boxes, thread);
}

/** Calls `look` once for every wake-up (merged) until `stopped` answers true. */
export async function attend(
  boxes: Mailboxes,
  thread: number,
  look: () => void,
  stopped: () => boolean,
): Promise<void> {
  let seen = sync.load(boxes, thread);
  while (!stopped()) {
    await sync.changed(boxes, thread, seen, LOOK_AGAIN_MS);
    seen = sync.load(boxes, thread);
    look();
  }
}

export interface Ring {
  readonly capacity: number;
  readonly words: Int32Array;
  /** [lock, read count, write count, mask of threads that found it full] */
  readonly control: Int32Array;
}

/** Words of one record. */
export const RECORD_WORDS = 6;

const LOCK = 0;
const READ = 1;
const WRITE = 2;
const FULL_WAITERS = 3;

/** Records in the ring. */
export function ringLength(ring: Ring): number {
  return (sync.load(ring.control, WRITE) - sync.load(ring.control, READ)) | 0;
}

/** `capacity` must be a power of two. */
export function createRing(capacity: number): Ring {
  return { capacity, words: int32(capacity * RECORD_WORDS), control: int32(4) };
}

/** Copies `record` in; false when the ring is full, and then `thread` is woken once there is room. */
export function push(ring: Ring, record: Int32Array, thread: number): boolean {
  const { control } = ring;
  sync.lock(control, LOCK);
  const at = control[WRITE];
  // The counts wrap at 2^31; a power of two as capacity keeps difference and place right across the wrap.
  const room = ((at - control[READ]) | 0) < ring.capacity;
  if (room) {
    ring.words.set(record, (at & (ring.capacity - 1)) * RECORD_WORDS);
    control[WRITE] = at + 1;
  } else control[FULL_WAITERS] |= 1 << thread;
  sync.unlock(control, LOCK);
  return room;
}

/** Copies the oldest record out; false when there is none. An empty ring starts again at 0. */
export function pop(ring: Ring, record: Int32Array, boxes: Mailboxes): boolean {
  const { control } = ring;
  if (sync.load(control, WRITE) === sync.load(control, READ)) return false;
  sync.lock(control, LOCK);
  const at = control[READ];
  const start = (at & (ring.capacity - 1)) * RECORD_WORDS;
  for (let i = 0; i < RECORD_WORDS; i++) record[i] = ring.words[start + i];
  control[READ] = at + 1;
  if (control[READ] === control[WRITE]) {
    control[READ] = 0;
    control[WRITE] = 0;
  }
  const mask = control[FULL_WAITERS];
  control[FULL_WAITERS] = 0;
  sync.unlock(control, LOCK);
  if (mask !== 0) wakeMask(boxes, mask);
  return true;
}
