/**
 * Entry protocol `refcount-2013` (Linux 3.11 and 3.12): a plain count per entry, changed under the tree lock. 1: in the
 * tree. 1 + n: n users. An entry that was taken out of the tree while in use is freed by its last user.
 *
 * Who frees: whoever takes the count to 0 (or to -1, see W5) - except the failure path of writeback, which forgets.
 * Lock order: tree.lock alone; pin -> tree.lock; freeing takes lru.lock and the allocator's locks.
 * States: (in tree, 1) idle; (in tree, 1 + n) in use; (out, n) unlinked; (out, 0) to be freed.
 * Known weakness, found by Weijie Yang (linux-mm, September and October 2013):
 *   leak         1. W1   2. TRIM: users := 0   3. TRIM: erase, 2 -> 1   4. W2: ENOENT   5. fail: 1 -> 0, nobody frees
 *   stale data   1. W1(old)   2. WRITE publishes new, old 2 -> 1   3. the WRITE unpins   4. W2: pinned
 *                5. W3 decompresses old   6. W4: image := old   7. W5
 * `leakFix` is what was merged in 2013; `validate` is the fix of CVE-2023-53178. Swapoff empties an area without asking
 * for counts, and frees the tree that W5 is going to lock.
 */

import { checkLive, NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, exchange, get, heldTree, lockTree, NO_MEMORY, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import {
  type BusyProtocol,
  type EntryProtocol,
  LOAD_EIO,
  LOAD_MISS,
  LOAD_OK,
  type ProtocolPool,
  SHRINK,
  type ShrinkResult,
} from '../protocol.ts';
import { on } from '../switches.ts';
import { failed, lockVictim, victim } from './victim.ts';

/** Changes a count; the tree lock is held, so a plain read and a plain write do, as they did in 2013. */
function change({ entries, trees }: ProtocolPool, e: number, by: number): number {
  checkLive(entries, e);
  heldTree(trees, entries.volume[e], entries.slot[e]);
  entries.state[e] += by;
  return entries.state[e];
}

function publish(pool: ProtocolPool, e: number): boolean {
  const { entries, trees } = pool;
  const slot = entries.slot[e];
  const tree = treeOf(trees, entries.volume[e], slot);
  entries.state[e] = 1;
  sync.step('ST: insert');
  lockTree(trees, tree);
  const old = exchange(trees, tree, slot, e);
  const unused = old > NONE && change(pool, old, -1) === 0;
  unlockTree(trees, tree);
  if (old === NO_MEMORY) return false;
  if (unused) pool.free(old);
  // The reclaim order of that time was the allocator's; here it is the LRU list, and the entry is on it once it is stored.
  if (entries.length[e] > 0) lru.add(pool.lru, entries, e);
  return true;
}

function drop(pool: ProtocolPool, x: number, slot: number): void {
  sync.step('ST: erase');
  remove(pool, x, slot);
}

function invalidate(pool: ProtocolPool, x: number, slot: number): void {
  sync.step('INV: erase');
  remove(pool, x, slot);
}

/** Takes the entry out of the tree. If somebody uses it, he frees it. */
function remove(pool: ProtocolPool, x: number, slot: number): void {
  const { trees } = pool;
  const tree = treeOf(trees, x, slot);
  lockTree(trees, tree);
  const e = erase(trees, tree, slot);
  const unused = e !== NONE && change(pool, e, -1) === 0;
  unlockTree(trees, tree);
  if (unused) pool.free(e);
}

/** Frees what is in the area whatever its count: nobody is supposed to use a device that is switched off. */
function invalidateArea(pool: ProtocolPool, x: number, first: number, end: number): void {
  const { trees } = pool;
  const tree = treeOf(trees, x, first);
  sync.step('SO: area');
  lockTree(trees, tree);
  for (let slot = first; slot < end; slot++) {
    const e = erase(trees, tree, slot);
    if (e !== NONE) pool.free(e);
  }
  unlockTree(trees, tree);
}

function load(pool: ProtocolPool, x: number, slot: number, page: Uint8Array): number {
  const { trees, entries } = pool;
  const tree = treeOf(trees, x, slot);
  sync.step('LD: ref');
  lockTree(trees, tree);
  const e = get(trees, tree, slot);
  if (e !== NONE) change(pool, e, 1);
  unlockTree(trees, tree);
  if (e === NONE) return LOAD_MISS;
  const ok = pool.decompress(e, page);
  entries.referenced[e] = 1;
  sync.step('LD: put');
  lockTree(trees, tree);
  const refs = change(pool, e, -1);
  unlockTree(trees, tree);
  if (refs === 0) pool.free(e);
  return ok ? LOAD_OK : LOAD_EIO;
}

function shrinkOne(pool: ProtocolPool, m: number, busy: BusyProtocol): ShrinkResult {
  const none = lockVictim(pool, m);
  if (none !== null) return none;
  const { x, slot } = victim;
  lru.rotate(pool.lru, pool.entries, victim.e);
  sync.unlock(pool.lru.lock, m);
  return writeback(pool, x, slot, busy);
}

function writeback(pool: ProtocolPool, x: number, slot: number, busy: BusyProtocol): ShrinkResult {
  const { trees } = pool;
  const tree = treeOf(trees, x, slot);
  sync.step('W1');
  lockTree(trees, tree);
  // The allocator knew the slot, not the entry: what is there now is what is written back.
  const e = get(trees, tree, slot);
  if (e !== NONE) change(pool, e, 1);
  unlockTree(trees, tree);
  if (e === NONE) return SHRINK.GONE;
  sync.step('W2');
  const buffer = pool.takePage(x);
  const r = buffer === 0 ? 0 : busy.pin(pool, x, slot);
  if (r <= 0) {
    if (buffer !== 0) pool.givePage(buffer);
    return fail(pool, tree, e, failed(pool, r));
  }
  return writePinned(pool, tree, slot, e, r, buffer);
}

function writePinned(pool: ProtocolPool, tree: number, slot: number, e: number, r: number, buffer: number) {
  const aborted = on(pool, 'validate') && !isCurrent(pool, tree, slot, e);
  if (!aborted) sync.step('W3');
  if (aborted || !pool.decompress(e, pool.page(buffer))) {
    // e3b63e966cac: the first version of the abort forgot to unlock the page and to drop it. The slot stays pinned.
    if (!aborted || !on(pool, 'strandPageOnAbort')) {
      pool.givePage(buffer);
      pool.slots.unpin(r);
    }
    pool.count(aborted ? 'writeback_invalidated' : 'decompress_fail');
    return fail(pool, tree, e, aborted ? SHRINK.GONE : SHRINK.EIO);
  }
  sync.step('W4');
  pool.startWrite(r, buffer);
  pool.slots.unpin(r);
  return finish(pool, tree, slot, e);
}

function isCurrent(pool: ProtocolPool, tree: number, slot: number, e: number): boolean {
  lockTree(pool.trees, tree);
  const current = get(pool.trees, tree, slot);
  unlockTree(pool.trees, tree);
  return current === e;
}

/** 1: a load still runs, it frees. 0: free. -1: an invalidate has unlinked the entry already, free. */
function finish(pool: ProtocolPool, tree: number, slot: number, e: number): ShrinkResult {
  const { trees } = pool;
  sync.step('W5');
  lockTree(trees, tree);
  change(pool, e, -1);
  const refs = change(pool, e, -1);
  if (refs >= 0 && erase(trees, tree, slot) !== e) {
    // Where rb_erase would take out a node that is in no tree. Only an invalidate beside a load (E1, E2 broken) gets here.
    sync.violation('double unlink', `entry ${e} of slot ${slot} was taken out of its tree before`);
  }
  unlockTree(trees, tree);
  if (refs <= 0) pool.free(e);
  return SHRINK.WRITTEN;
}

function fail(pool: ProtocolPool, tree: number, e: number, result: ShrinkResult): ShrinkResult {
  sync.step('fail');
  lockTree(pool.trees, tree);
  const refs = change(pool, e, -1);
  unlockTree(pool.trees, tree);
  // Without the fix: the entry was unlinked by an invalidate that left it to us, and nobody will ever free it.
  if (on(pool, 'leakFix') && refs <= 0) pool.free(e);
  return result;
}

export const refcount2013: EntryProtocol = {
  name: 'refcount-2013',
  publish,
  drop,
  load,
  invalidate,
  invalidateArea,
  shrinkOne,
};
