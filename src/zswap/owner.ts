/**
 * What an agent in the guest says of a slot, applied: whose it is, and whether it is free. It may come before the WRITE that it
 * speaks of, and after it. For the first there is the slot's number, which the next store asks for; for the second the page that
 * is stored changes its owner, if its stamp says that it is not of a generation before.
 *
 *   report   pin { number of the slot; row of the number; tree.lock { entry? -> lru.give } }
 *
 * Both under the pin, because a store asks and publishes under it:
 *   1. a store finds the slot nobody's   2. the slot gets its number   3. we look for an entry: there is none
 *   4. the store publishes, for nobody
 * The pin alone keeps no entry where writeback goes on without it (refcount-2013 and cas-2013 W5, refcount-lru-isolate f), nor
 * the place of one that was isolated. In all of these an entry leaves its tree under the tree's lock before anything else happens
 * to it, and is put back under it; so who finds an entry in its tree, and keeps the lock, has it.
 *   1. we find the entry   2. W5 takes it out of the tree, and frees it   3. we link to a list what is somebody else's by now
 */
import { markDead, markLive } from '../pool/dead.ts';
import { NONE } from '../pool/entries.ts';
import { give } from '../pool/lru.ts';
import { heirOf, ROOT } from '../pool/memcg.ts';
import { NOBODY, ownerRow, rowOfNumber, setNumber } from '../pool/owners.ts';
import { get, lockTree, treeOf, unlockTree } from '../pool/tree.ts';
import type { Zswap } from './zswap.ts';

/** What a report has come to; bits. LATE: the page that it speaks of was stored already. */
export const REPORTED = { NOTHING: 0, LATE: 1, MOVED: 2, DEAD: 4 } as const;

/** The slot, whose pin is held, is number `n`'s; so is its page, if it was stored in [`since`, `until`]. */
export function report(zswap: Zswap, x: number, slot: number, n: number, since: number, until: number): number {
  const { entries, trees, memcgs, lru } = zswap;
  setNumber(memcgs.owners, x, slot, n);
  if (!zswap.hasTrees(x)) return REPORTED.NOTHING;
  const row = rowOfNumber(memcgs.owners, x, n);
  const tree = treeOf(trees, x, slot);
  lockTree(trees, tree);
  const e = get(trees, tree, slot);
  const late = e !== NONE && entries.stamp[e] >= since && entries.stamp[e] <= until;
  const moves = late && entries.length[e] > 0 && entries.memcg[e] !== row;
  if (moves) give(lru, entries, e, row);
  else if (late && entries.length[e] > 0) markLive(lru, entries, e);
  unlockTree(trees, tree);
  return (late ? REPORTED.LATE : 0) | (moves ? REPORTED.MOVED : 0);
}

/**
 * The slot, whose pin or claim is held, is free: whoever writes it next is nobody's, until somebody says whose. Its page is dead if it was
 * stored before `until`. One that was stored later may be of a generation after this, whose report is still on its way:
 *   1. the guest frees the slot   2. it charges the slot to somebody, and writes it   3. the WRITE is stored
 *   4. we hear of the first: what is stored is somebody's memory
 */
export function free(zswap: Zswap, x: number, slot: number, until: number): number {
  const { entries, trees, memcgs, lru } = zswap;
  setNumber(memcgs.owners, x, slot, NOBODY);
  if (!zswap.hasTrees(x)) return REPORTED.NOTHING;
  const tree = treeOf(trees, x, slot);
  lockTree(trees, tree);
  const e = get(trees, tree, slot);
  const old = e !== NONE && entries.length[e] > 0 && entries.stamp[e] < until;
  const { dead = 'ignore' } = zswap.settings;
  // One that could not be dropped when it died, because its export was being swapped off, is dropped when it is freed again.
  const dies = old && (markDead(lru, entries, e, dead) || dead === 'drop');
  unlockTree(trees, tree);
  return dies ? REPORTED.DEAD : REPORTED.NOTHING;
}

/**
 * The slot's number stands for another memcg, above that which it stood for: `from`, which stays, for the next cgroup of its name.
 * The slot's pin is held. Its page follows, if it is on the way between the two: one of another cgroup is of a generation
 * before, and so is a dead one.
 */
export function follow(zswap: Zswap, x: number, slot: number, from: number): number {
  const { entries, trees, memcgs, lru } = zswap;
  if (!zswap.hasTrees(x)) return REPORTED.NOTHING;
  const row = ownerRow(memcgs.owners, x, slot);
  const tree = treeOf(trees, x, slot);
  lockTree(trees, tree);
  const e = get(trees, tree, slot);
  const has = e !== NONE && entries.length[e] > 0 && entries.dead[e] === 0 ? heirOf(memcgs, entries.memcg[e]) : row;
  let passed = from;
  while (passed !== has && passed !== row && passed !== ROOT) passed = memcgs.parent[passed];
  if (has !== row && passed === has) give(lru, entries, e, row);
  unlockTree(trees, tree);
  return REPORTED.NOTHING;
}

/** What is known of the slot, whose pin is held, is void. */
export function forget(zswap: Zswap, x: number, slot: number): number {
  setNumber(zswap.memcgs.owners, x, slot, NOBODY);
  return REPORTED.NOTHING;
}
