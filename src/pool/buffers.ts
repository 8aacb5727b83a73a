/**
 * Page buffers: a fixed set of aligned 4 KiB pages in shared memory, between the pool and the image.
 *
 * Two sets exist, so that pages parked after a failed writeback can't starve requests: one for writeback, one for pages
 * that a request sends to the image. Buffer 0 is "none". A thread that finds the set empty is woken at the next free.
 */
import { int32, reserve } from '../shm/columns.ts';
import { type Mailboxes, wakeMask } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { PAGE_SIZE } from './limits.ts';

export interface Buffers {
  readonly memory: Uint8Array;
  readonly next: Int32Array;
  /** [lock, free list head, free count, waiting threads] */
  readonly control: Int32Array;
}

const LOCK = 0;
const FREE_HEAD = 1;
const FREE_COUNT = 2;
const WAITING = 3;

/** `count` buffers, numbered 1..count. */
export function createBuffers(count: number): Buffers {
  const next = int32(count + 1);
  for (let i = 1; i < count; i++) next[i] = i + 1;
  const control = int32(4);
  control[FREE_HEAD] = 1;
  control[FREE_COUNT] = count;
  return { memory: new Uint8Array(reserve((count + 1) * PAGE_SIZE), 0, (count + 1) * PAGE_SIZE), next, control };
}

/** A buffer, or 0 when there is none; then `thread` (if >= 0) is woken when one comes back. */
export function takeBuffer(b: Buffers, thread: number): number {
  sync.lock(b.control, LOCK);
  const buffer = b.control[FREE_HEAD];
  if (buffer !== 0) {
    b.control[FREE_HEAD] = b.next[buffer];
    b.control[FREE_COUNT]--;
  } else if (thread >= 0) b.control[WAITING] |= 1 << thread;
  sync.unlock(b.control, LOCK);
  return buffer;
}

export function giveBuffer(b: Buffers, buffer: number, boxes: Mailboxes): void {
  sync.lock(b.control, LOCK);
  b.next[buffer] = b.control[FREE_HEAD];
  b.control[FREE_HEAD] = buffer;
  b.control[FREE_COUNT]++;
  const waiting = b.control[WAITING];
  b.control[WAITING] = 0;
  sync.unlock(b.control, LOCK);
  if (waiting !== 0) wakeMask(boxes, waiting);
}

export function freeBuffers(b: Buffers): number {
  return sync.load(b.control, FREE_COUNT);
}

export function pageOf(b: Buffers, buffer: number): Uint8Array {
  return b.memory.subarray(buffer * PAGE_SIZE, buffer * PAGE_SIZE + PAGE_SIZE);
}
