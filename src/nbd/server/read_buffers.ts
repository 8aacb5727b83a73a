/**
 * Buffers for reads that have to wait for their device, shared by all connections of a thread.
 *
 * Invariants:
 * - a connection without a buffer is always given one, so no client can starve another by not reading its replies;
 * - further ones come from a pool of POOL_BUFFERS, at most MAX_PER_CONNECTION each. Memory is bounded by the pool plus two
 *   buffers per connection (one as said, one for a read whose reply has begun).
 */
import { MAX_BLOCK_SIZE } from './inbox.ts';

/** Bytes of one READ that are fetched and delivered as a unit. */
export const READ_SLICE = 128 * 1024;
/** Buffers of one thread. */
const POOL_BUFFERS = 64;
/** Buffers that one connection may hold at a time. */
const MAX_PER_CONNECTION = 32;

export interface ReadBuffer {
  readonly bytes: Uint8Array;
}

const free: ReadBuffer[] = [];
let made = 0;

function make(): ReadBuffer {
  // A growable buffer starts on a page and is reserved, not touched: O_DIRECT can fill it, and unused pages cost nothing.
  // An unaligned slice of READ_SLICE bytes can touch one block more than an aligned one.
  const size = READ_SLICE + MAX_BLOCK_SIZE;
  return { bytes: new Uint8Array(new SharedArrayBuffer(size, { maxByteLength: size })) };
}

/** A buffer for a connection that holds `held`, or null if it has to wait until it gave one back. */
export function takeReadBuffer(held: number, urgent: boolean): ReadBuffer | null {
  if (held < MAX_PER_CONNECTION) {
    const buffer = free.pop();
    if (buffer !== undefined) return buffer;
    if (made < POOL_BUFFERS) {
      made++;
      return make();
    }
  }
  return held === 0 || urgent ? make() : null;
}

export function giveReadBuffer(buffer: ReadBuffer): void {
  // Beyond the pool's size it was an extra one, which goes to the garbage collector.
  if (free.length < POOL_BUFFERS) free.push(buffer);
}
