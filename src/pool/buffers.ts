/**
 * Page buffers: a fixed set of aligned 4 KiB pages in shared memory, between the pool and the image.
 *
 * Two sets exist, so that pages parked after a failed writeback can't starve requests: one for writeback, one for pages
 * that a request sends to the image. Each is divided among the exports (shares.ts), so that pages that wait for one image
 * don't keep those of another waiting. Buffer 0 is "none". A thread that gets none is woken when its export may have one.
 */
import { assert } from '../shm/assert.ts';
import { int32, reserve, uint16 } from '../shm/columns.ts';
import { type Mailboxes, wakeMask } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { EXPORTS_MAX, PAGE_SIZE } from './limits.ts';
import { createShares, giveShare, leftFor, type Shares, takeShare } from './shares.ts';

export interface Buffers {
  readonly memory: Uint8Array;
  readonly next: Int32Array;
  /** The export that has the buffer; NOBODY while it is free. */
  readonly owner: Uint16Array;
  readonly shares: Shares;
  /** [lock, free list head, free count] */
  readonly control: Int32Array;
}

/** No export has this number. */
const NOBODY = 0xffff;
assert(EXPORTS_MAX <= NOBODY, 'a buffer can name its export');

const LOCK = 0;
const FREE_HEAD = 1;
const FREE_COUNT = 2;

/** `count` buffers, numbered 1..count, for `exports` exports. */
export function createBuffers(count: number, exports: number): Buffers {
  const next = int32(count + 1);
  for (let i = 1; i < count; i++) next[i] = i + 1;
  const control = int32(4);
  control[FREE_HEAD] = 1;
  control[FREE_COUNT] = count;
  const bytes = (count + 1) * PAGE_SIZE;
  return {
    memory: new Uint8Array(reserve(bytes), 0, bytes),
    next,
    owner: uint16(count + 1).fill(NOBODY),
    shares: createShares(count, exports),
    control,
  };
}

/** A buffer for export `x`, or 0 when it can have none; then `thread` (if >= 0) is woken when it can. */
export function takeBuffer(b: Buffers, x: number, thread: number): number {
  sync.lock(b.control, LOCK);
  let buffer = 0;
  if (takeShare(b.shares, x, thread >= 0 ? 1 << thread : 0)) {
    buffer = b.control[FREE_HEAD];
    b.control[FREE_HEAD] = b.next[buffer];
    b.control[FREE_COUNT]--;
    assert(buffer !== 0 && b.owner[buffer] === NOBODY, 'who has a share finds a buffer that nobody has');
    b.owner[buffer] = x;
  }
  sync.unlock(b.control, LOCK);
  return buffer;
}

export function giveBuffer(b: Buffers, buffer: number, boxes: Mailboxes): void {
  sync.lock(b.control, LOCK);
  const x = b.owner[buffer];
  assert(x !== NOBODY, 'a buffer is given back once');
  b.owner[buffer] = NOBODY;
  b.next[buffer] = b.control[FREE_HEAD];
  b.control[FREE_HEAD] = buffer;
  b.control[FREE_COUNT]++;
  const waiting = giveShare(b.shares, x);
  sync.unlock(b.control, LOCK);
  if (waiting !== 0) wakeMask(boxes, waiting);
}

/** Of all exports. */
export function freeBuffers(b: Buffers): number {
  return sync.load(b.control, FREE_COUNT);
}

export function takenBuffers(b: Buffers): number {
  return b.next.length - 1 - freeBuffers(b);
}

/** How many more export `x` could take now: a hint. */
export function buffersFor(b: Buffers, x: number): number {
  return leftFor(b.shares, x);
}

export function pageOf(b: Buffers, buffer: number): Uint8Array {
  return b.memory.subarray(buffer * PAGE_SIZE, buffer * PAGE_SIZE + PAGE_SIZE);
}
