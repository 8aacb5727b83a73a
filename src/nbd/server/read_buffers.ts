/**
 * Buffers for reads that have to wait for their device, shared by all connections of a thread.
 *
 * Invariants:
 * - a connection without a buffer is always given what its request needs, so no client can keep another from reading by not
 *   reading its replies;
 * - further ones come from a pool of POOL_BUFFERS, at most MAX_PER_CONNECTION each. Half of the pool is divided evenly among the
 *   devices that have any, the rest is for whoever comes first: a device that stands still can't take what others need.
 *   One that comes when others hold more than their part by now gets its own all the same: of 64, 32, 21 … for the first, the
 *   second, the third. All but the first of a request that needs several count as of the pool, also where they are beyond it;
 * - memory is bounded by three pools, and per connection by what it is given in any case: two buffers (one as said, one for a read
 *   whose reply has begun), and with simple replies MAX_PER_REQUEST and that one.
 */
import { MAX_BLOCK_SIZE } from './inbox.ts';
import { pageMemory } from './page_memory.ts';

/** Bytes of one READ that are fetched and delivered as a unit. */
export const READ_SLICE = 128 * 1024;
/** Buffers of one thread. */
const POOL_BUFFERS = 128;
/** Buffers that one connection may hold at a time, unless a single request of it needs more. */
const MAX_PER_CONNECTION = 32;
/** Buffers that one request may need: for 4 MiB, and one more where those don't begin with a block. */
const MAX_PER_REQUEST = 33;
/** Bytes that these are enough for, wherever they begin: a block is smaller than a buffer. */
export const MAX_GATHERED = (MAX_PER_REQUEST - 1) * READ_SLICE;

export interface ReadBuffer {
  readonly bytes: Uint8Array;
}

/** What connections to one device hold: all buffers, and those beyond the first of each connection, which are of the pool. */
interface Share {
  all: number;
  pooled: number;
}

const free: ReadBuffer[] = [];
const shares = new Map<object, Share>();
/** What each device that has any may have of the pool for itself, and what all of them have beyond that. */
let own = 0;
let beyond = 0;

function divide(): void {
  own = Math.floor(POOL_BUFFERS / 2 / Math.max(1, shares.size));
  beyond = 0;
  for (const { pooled } of shares.values()) beyond += Math.max(0, pooled - own);
}

function make(): ReadBuffer {
  // An unaligned slice of READ_SLICE bytes can touch one block more than an aligned one.
  return { bytes: new Uint8Array(pageMemory(READ_SLICE + MAX_BLOCK_SIZE)) };
}

/** Whether a connection to `device` that holds `held` would be given `n` more now. */
export function hasReadBuffers(device: object, held: number, n: number): boolean {
  if (held === 0) return true;
  if (held + n > MAX_PER_CONNECTION) return false;
  const pooled = shares.get(device)?.pooled ?? 0;
  const more = Math.max(0, pooled + n - own) - Math.max(0, pooled - own);
  return more === 0 || beyond + more <= POOL_BUFFERS - own * shares.size;
}

/** A buffer for a connection to `device` that holds `held`: the caller has asked whether there is one, or must have it. */
export function takeReadBuffer(device: object, held: number): ReadBuffer {
  let share = shares.get(device);
  if (share === undefined) {
    share = { all: 0, pooled: 0 };
    shares.set(device, share);
    divide();
  }
  share.all++;
  if (held > 0 && ++share.pooled > own) beyond++;
  return free.pop() ?? make();
}

/** `held`: what the connection held with this one. */
export function giveReadBuffer(device: object, held: number, buffer: ReadBuffer): void {
  const share = shares.get(device)!;
  if (held > 1 && share.pooled-- > own) beyond--;
  if (--share.all === 0) {
    shares.delete(device);
    divide();
  }
  // Beyond the pool's size it was an extra one, which goes to the garbage collector.
  if (free.length < POOL_BUFFERS) free.push(buffer);
}
