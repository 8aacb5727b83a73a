/**
 * What the entry protocols share: picking a victim, and what becomes of a failed pin.
 *
 * A victim is a slot number, copied under the LRU lock. Its entry is not touched from there on, until the protocol itself
 * says why it may: else a protocol would show bugs that it never had.
 */
import { checkLive, lockLives, NONE, unlockLives } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { EEXIST, ENOENT } from '../../pool/slots.ts';
import * as sync from '../../shm/sync.ts';
import { type ProtocolPool, SHRINK, type ShrinkResult } from '../protocol.ts';
import { lruSkipAfterUnlock, on } from '../switches.ts';

/**
 * The next victim of memcg `m`, with the LRU lock held: null, and the pool's `walk` has it. Else the lock is dropped: EMPTY;
 * ROTATED, because the entry got its second chance; PASSED, because its export can have no buffer; of a victim that is
 * asked for by name, GONE or EEXIST.
 */
export function lockVictim(pool: ProtocolPool, m: number): ShrinkResult | null {
  const { entries, walk } = pool;
  const list = pool.lru;
  sync.lock(list.lock, m);
  const missing = walk.named === NONE ? null : missingOf(pool, m);
  const e = walk.named === NONE ? resumed(pool, m) || list.head[m] : walk.named;
  if (e === NONE || missing !== null) {
    sync.unlock(list.lock, m);
    return missing ?? SHRINK.EMPTY;
  }
  checkLive(entries, e);
  walk.neighbour = entries.next[e];
  walk.x = entries.volume[e];
  walk.slot = entries.slot[e];
  walk.e = e;
  // Whoever names a page means it, be it warm or not.
  if (walk.named !== NONE) return null;
  const full = walk.full[walk.x] !== 0;
  if (!full) {
    if (!pool.secondChance || entries.referenced[e] === 0) return null;
    entries.referenced[e] = 0;
  }
  lru.rotate(list, entries, m, e);
  sync.unlock(list.lock, m);
  return full ? SHRINK.PASSED : SHRINK.ROTATED;
}

/**
 * Why the entry that is asked for is no victim, or null: it lives the life that was meant, and is on list `m`. Its name is a
 * number that was read without a lock, so all of it is asked here, and no entry begins or ends its life meanwhile:
 *   1. e is on another list, and so linked   2. e is freed, and taken for a page of m   3. it names m, and is not on m's list yet
 * First linked, then whose: an entry that is linked has its fields, and what is on list m stays there while we hold its lock.
 * One that is alive and on no list is in somebody else's hands.
 */
function missingOf(pool: ProtocolPool, m: number): ShrinkResult | null {
  const { entries, walk } = pool;
  const e = walk.named;
  lockLives(entries);
  const alive = entries.generation[e] === walk.namedLife;
  const found = alive && lru.linked(pool.lru, entries, m, e) && lru.belongs(pool.lru, entries, m, e);
  // Its life may have begun before it had its fields, and who named it have read those of the one before.
  const meant = found && entries.volume[e] === walk.namedX && entries.slot[e] === walk.namedSlot;
  unlockLives(entries);
  if (found) return meant ? null : SHRINK.GONE;
  return alive ? SHRINK.EEXIST : SHRINK.GONE;
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
  walk.named = NONE;
  walk.next = NONE;
  walk.full.fill(0);
}

/** Entry `e` is the next victim, if its life is still this one, and it has this slot. */
export function beginNamed(
  { walk }: Pick<ProtocolPool, 'walk'>,
  e: number,
  life: number,
  x: number,
  slot: number,
): void {
  walk.next = NONE;
  walk.named = e;
  walk.namedLife = life;
  walk.namedX = x;
  walk.namedSlot = slot;
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
