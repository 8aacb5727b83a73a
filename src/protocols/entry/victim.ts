/**
 * What the entry protocols share: picking a victim, and what becomes of a failed pin.
 *
 * A victim is a slot number, copied under the LRU lock. Its entry is not touched from there on, until the protocol itself
 * says why it may: else a protocol would show bugs that it never had.
 */
import { checkLive, NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { EEXIST, ENOENT } from '../../pool/slots.ts';
import * as sync from '../../shm/sync.ts';
import { type ProtocolPool, SHRINK, type ShrinkResult } from '../protocol.ts';
import { lruSkipAfterUnlock, on } from '../switches.ts';

/**
 * The next victim of memcg `m`, with the LRU lock held: null, and the pool's `walk` has it. Else the lock is dropped: EMPTY;
 * ROTATED, because the entry got its second chance; PASSED, because its export can have no buffer.
 */
export function lockVictim(pool: ProtocolPool, m: number): ShrinkResult | null {
  const { entries, walk } = pool;
  const list = pool.lru;
  sync.lock(list.lock, m);
  const e = resumed(pool, m) || list.head[m];
  if (e === NONE) {
    sync.unlock(list.lock, m);
    return SHRINK.EMPTY;
  }
  checkLive(entries, e);
  walk.neighbour = entries.next[e];
  walk.x = entries.volume[e];
  walk.slot = entries.slot[e];
  walk.e = e;
  const full = walk.full[walk.x] !== 0;
  if (!full) {
    if (!pool.secondChance || entries.referenced[e] === 0) return null;
    entries.referenced[e] = 0;
  }
  lru.rotate(list, entries, m, e);
  sync.unlock(list.lock, m);
  return full ? SHRINK.PASSED : SHRINK.ROTATED;
}

/** The remembered neighbour, if the walk skipped to it. It may be on another list by now, or freed: that is the bug. */
function resumed(pool: ProtocolPool, m: number): number {
  const { walk } = pool;
  const { list, next } = walk;
  walk.next = NONE;
  if (next === NONE || list !== m) return NONE;
  if (!lru.linked(pool.lru, pool.entries, m, next) || !lru.belongs(pool.lru, pool.entries, m, next))
    sync.violation('use after free', `the walk of LRU ${m} goes on at entry ${next}, which left the list meanwhile`);
  return next;
}

/** A walk starts: it begins at the head of its list. */
export function beginWalk({ walk }: Pick<ProtocolPool, 'walk'>): void {
  walk.next = NONE;
  walk.full.fill(0);
}

/** A busy victim: the walk goes on at the next entry, as it was before the lock was dropped. */
export function skipBusy(pool: ProtocolPool, m: number, result: ShrinkResult): void {
  if (result !== SHRINK.EEXIST || !on(pool, lruSkipAfterUnlock)) return;
  pool.walk.list = m;
  pool.walk.next = pool.walk.neighbour;
}

/** Counts and names a pin attempt that failed with `r`. */
export function failed(pool: ProtocolPool, r: number): ShrinkResult {
  if (r === EEXIST) {
    pool.count('writeback_busy');
    return SHRINK.EEXIST;
  }
  if (r !== ENOENT) return SHRINK.ENOMEM;
  pool.count('writeback_invalidated');
  return SHRINK.GONE;
}
