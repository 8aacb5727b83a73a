/**
 * Buffers for reads that have to wait for their device, shared by all connections of a thread.
 *
 * Invariants:
 * - a connection without a buffer is always given one, so no client can starve another by not reading its replies;
 * - further ones come from a pool of POOL_BUFFERS, at most MAX_PER_CONNECTION each, and each connection stops where it holds
 *   as many as its device has room for. The room is what is free of the pool less what the device holds: so one device that
 *   stands still is left with half of the pool, a second one with half of the rest, and any other still finds some.
 *   Memory is bounded by the pool plus two buffers per connection (one as said, one for a read whose reply has begun).
 */
import { MAX_BLOCK_SIZE } from './inbox.ts';

/** Bytes of one READ that are fetched and delivered as a unit. */
export const READ_SLICE = 128 * 1024;
/** Buffers of one thread. */
export const POOL_BUFFERS = 128;
/** Buffers that one connection may hold at a time. */
export const MAX_PER_CONNECTION = 32;

export interface ReadBuffer {
  readonly bytes: Uint8Array;
}

const free: ReadBuffer[] = [];
/** Buffers in use, those that were given beyond the pool as well: of all, and by device as long as it has any. */
let taken = 0;
const takenOf = new Map<object, number>();

function make(): ReadBuffer {
  // A growable buffer starts on a page and is reserved, not touched: O_DIRECT can fill it, and unused pages cost nothing.
  // An unaligned slice of READ_SLICE bytes can touch one block more than an aligned one.
  const size = READ_SLICE + MAX_BLOCK_SIZE;
  return { bytes: new Uint8Array(new SharedArrayBuffer(size, { maxByteLength: size })) };
}

/** A buffer for a connection to `device` that holds `held`, or null if it has to wait until it gave one back. */
export function takeReadBuffer(device: object, held: number, urgent: boolean): ReadBuffer | null {
  const ofDevice = takenOf.get(device) ?? 0;
  const room = POOL_BUFFERS - taken - ofDevice;
  if (held >= Math.min(MAX_PER_CONNECTION, room) && held > 0 && !urgent) return null;
  taken++;
  takenOf.set(device, ofDevice + 1);
  return free.pop() ?? make();
}

export function giveReadBuffer(device: object, buffer: ReadBuffer): void {
  taken--;
  const ofDevice = takenOf.get(device)! - 1;
  if (ofDevice > 0) takenOf.set(device, ofDevice);
  else takenOf.delete(device);
  // Beyond the pool's size it was an extra one, which goes to the garbage collector.
  if (free.length < POOL_BUFFERS) free.push(buffer);
}
