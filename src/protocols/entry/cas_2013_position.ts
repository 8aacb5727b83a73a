/** The position of an entry of `cas-2013`: who may use it is who moved it from POOL to another by compare-and-swap. */
import { checkLive } from '../../pool/entries.ts';
import * as sync from '../../shm/sync.ts';
import type { ProtocolPool } from '../protocol.ts';

export const POOL = 1;
export const LOAD = 2;
export const RECLAIM = 3;
export const FLUSH = 4;

/** The position that was found; the move happened if that is `from`. */
export function move(pool: ProtocolPool, e: number, from: number, to: number): number {
  checkLive(pool.entries, e);
  return sync.cas(pool.entries.state, e, from, to);
}

/** A move that nobody can be in the way of: the kernel had BUG_ON here. */
export function moveBack(pool: ProtocolPool, e: number, from: number): void {
  const found = move(pool, e, from, POOL);
  if (found !== from) sync.violation('bug', `entry ${e} is at position ${found}, not ${from}`);
}

/** Frees an entry that this thread has to itself. Its position changes, so that whoever waits for it looks again. */
export function free(pool: ProtocolPool, e: number): void {
  sync.store(pool.entries.state, e, 0);
  pool.free(e);
}
