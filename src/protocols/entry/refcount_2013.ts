/**
 * Entry protocol `refcount-2013` (Linux 3.11 and 3.12): a plain count per entry, changed under the tree lock. 1: in the
 * tree. 1 + n: n users. An entry that was taken out of the tree while in use is freed by its last user. Writeback, W1 to W5,
 * is in refcount_2013_writeback.ts.
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

import { NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, exchange, get, lockTree, NO_MEMORY, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import { countUnderLock } from '../counts.ts';
import type { EntryDeclaration, Weakness } from '../declaration.ts';
import { type EntryProtocol, LOAD_EIO, LOAD_MISS, LOAD_OK, type ProtocolPool } from '../protocol.ts';
import { slotReusableBeforeInvalidate } from '../switches.ts';
import { evict, leakFix, STEPS, shrinkOne, strandPageOnAbort, validate } from './refcount_2013_writeback.ts';

function publish(pool: ProtocolPool, e: number): boolean {
  const { entries, trees } = pool;
  const slot = entries.slot[e];
  const tree = treeOf(trees, entries.volume[e], slot);
  entries.state[e] = 1;
  sync.step('ST: insert');
  lockTree(trees, tree);
  const old = exchange(trees, tree, slot, e);
  const unused = old > NONE && countUnderLock(pool, old, -1) === 0;
  unlockTree(trees, tree);
  if (old === NO_MEMORY) return false;
  if (unused) pool.free(old);
  // The list of entries is what memcgs are charged by. Reclaim goes by it only where lru is "entries", which no kernel had
  // with this protocol; then the entry can be picked once it is stored.
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
  const unused = e !== NONE && countUnderLock(pool, e, -1) === 0;
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
  if (e !== NONE) countUnderLock(pool, e, 1);
  unlockTree(trees, tree);
  if (e === NONE) return LOAD_MISS;
  const ok = pool.decompress(e, page);
  entries.referenced[e] = 1;
  sync.step('LD: put');
  lockTree(trees, tree);
  const refs = countUnderLock(pool, e, -1);
  unlockTree(trees, tree);
  if (refs === 0) pool.free(e);
  return ok ? LOAD_OK : LOAD_EIO;
}

const declaration = {
  about: 'a count per entry under the tree lock, as Linux 3.12 had it',
  steps: STEPS,
  facts: {
    asksForTree: false,
    pinsFirst: false,
    isolates: false,
    freesErased: false,
    uncounted: 'leaks them',
    retries: true,
  },
  switches: [leakFix, validate, strandPageOnAbort],
  brokenBy: [slotReusableBeforeInvalidate],
  weaknesses: (on) => {
    const stale = 'a writeback that is late writes old data over a newer page: stale data';
    const leak = 'a TRIM beside a writeback leaves the entry to nobody: leak';
    const stranded = 'an aborted writeback leaves the slot pinned: its requests hang, exit 70';
    const found: Weakness[] = [];
    if (!on(validate)) found.push({ text: stale });
    if (!on(leakFix)) found.push({ text: leak });
    if (on(validate) && on(strandPageOnAbort)) found.push({ of: strandPageOnAbort, text: stranded });
    return found;
  },
  usual: {
    swapoff: 'free-immediately',
    busy: 'skip-eexist',
    invalidate: 'erase',
    switches: { leakFix: true, validate: true },
  },
} as const satisfies EntryDeclaration;

export const refcount2013 = {
  name: 'refcount-2013',
  declaration,
  publish,
  drop,
  load,
  invalidate,
  invalidateArea,
  shrinkOne,
  evict,
} as const satisfies EntryProtocol;
