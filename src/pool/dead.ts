/**
 * Dead pages: stored ones whose slot is free in the guest, as its agent says (owners.ts). Nobody reads them; they take room until
 * their slot is written again or discarded. How many bytes they have is kept for each list, under its lock. What a walk makes of
 * them is a policy:
 *
 *   ignore   what it makes of others
 *   first    a page that dies goes to the head of its list, so that it is written back before any that somebody may read
 *   last     it goes behind all that are live, those that come later as well (list_links.ts): no writeback is spent on it while
 *            there are others. While those can't be written back, because their image stalls say, it waits with them
 *   drop     it leaves the pool at once, as by a TRIM of its slot (zswap/dead_drop.ts)
 *
 * A page that dies twice is counted once; one that is freed, overwritten, or given to somebody is dead no longer.
 */
import * as sync from '../shm/sync.ts';
import type { Entries } from './entries.ts';
import { type Lru, linked, lockList, moveToHead, revive, rotate } from './lru.ts';
import type { DeadPolicy } from './policies.ts';

/** An entry with an object, which nobody frees meanwhile, is dead. False if it was. */
export function markDead(lru: Lru, t: Entries, e: number, policy: DeadPolicy): boolean {
  const m = lockList(lru, t.memcg[e]);
  const dies = t.dead[e] === 0;
  if (dies) {
    t.dead[e] = 1;
    lru.dead[m] += t.length[e];
    // Its second chance is for pages that are used.
    if (policy !== 'ignore') t.referenced[e] = 0;
    if (linked(lru, t, m, e)) {
      if (policy === 'first') moveToHead(lru, t, m, e);
      else if (policy === 'last') rotate(lru, t, m, e);
    }
  }
  sync.unlock(lru.lock, m);
  return dies;
}

/** Somebody has the slot again, and its page is the one that is stored. */
export function markLive(lru: Lru, t: Entries, e: number): void {
  const m = lockList(lru, t.memcg[e]);
  const lives = revive(lru, t, m, e);
  if (lives && lru.deadLast && linked(lru, t, m, e)) rotate(lru, t, m, e);
  sync.unlock(lru.lock, m);
}
