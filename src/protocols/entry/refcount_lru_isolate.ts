/**
 * Entry protocol `refcount-lru-isolate` (Linux 6.8): a plain count under the tree lock, and writeback takes its victim off
 * the LRU before it drops the LRU lock.
 *
 * Who frees: whoever drops the count to 0. Lock order: lru.lock (dropped) -> tree.lock -> lru.lock -> allocator;
 * pin -> tree.lock. With the swapoff protocol `drain-early-ref` the count is atomic, and writeback takes its reference
 * under the LRU lock (a); with all others it takes it under the tree lock (b).
 * States: (in tree, on the LRU, 1) idle -> isolated -> (in tree, off, 2) -> freed when written | put back when not; an
 * invalidate meanwhile leaves (out, off, 1), which our last put frees.
 * Safe against leak and stale data: two looks at the tree (b, d), and the reference keeps the entry's index from reuse.
 * Known weakness: between a and b nothing keeps the tree, and before f, when the pin is gone, nothing does either:
 *   1. a   2. swapoff discards the slot   3. its entry is freed   4. the tree is freed   5. b locks it
 * tree-refcount and drain-early-ref close it. Discussed: linux-mm, January 2024,
 * "mm: zswap: remove unnecessary tree cleanups in zswap_swapoff()".
 */

import { checkLive, NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import {
  erase,
  exchange,
  get,
  heldTree,
  lifeOf,
  lockTree,
  lockTreeAt,
  NO_MEMORY,
  treeOf,
  unlockTree,
} from '../../pool/tree.ts';
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
import { failed, lockVictim, skipBusy, victim } from './victim.ts';

/** What shrinkOne works on; one per thread, because it is used in one call and not kept. */
const w = { x: 0, slot: 0, e: NONE as number, tree: 0, life: 0 };

/** Changes a count. Plain under the tree lock, as in 6.8, unless references are taken without it. */
function change(pool: ProtocolPool, e: number, by: number): number {
  checkLive(pool.entries, e);
  const { state, volume, slot } = pool.entries;
  if (pool.protocols.swapoff.earlyRef) return sync.add(state, e, by) + by;
  heldTree(pool.trees, volume[e], slot[e]);
  state[e] += by;
  return state[e];
}

function put(pool: ProtocolPool, e: number): void {
  if (change(pool, e, -1) === 0) pool.free(e);
}

function publish(pool: ProtocolPool, e: number): boolean {
  const { entries, trees } = pool;
  const slot = entries.slot[e];
  const tree = treeOf(trees, entries.volume[e], slot);
  entries.state[e] = 1;
  sync.step('ST: insert');
  lockTree(trees, tree);
  const old = exchange(trees, tree, slot, e);
  if (old > NONE) put(pool, old);
  if (old !== NO_MEMORY && entries.length[e] > 0) lru.add(pool.lru, entries, e);
  unlockTree(trees, tree);
  return old !== NO_MEMORY;
}

function drop(pool: ProtocolPool, x: number, slot: number): void {
  sync.step('ST: erase');
  remove(pool, x, slot);
}

function invalidate(pool: ProtocolPool, x: number, slot: number): void {
  sync.step('INV: erase');
  remove(pool, x, slot);
}

function remove(pool: ProtocolPool, x: number, slot: number): void {
  const { trees } = pool;
  const tree = treeOf(trees, x, slot);
  lockTree(trees, tree);
  const e = erase(trees, tree, slot);
  if (e !== NONE) put(pool, e);
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
  sync.step('LD: put');
  lockTree(trees, tree);
  entries.referenced[e] = 1;
  if (!ok || !on(pool, 'exclusiveBypass')) lru.moveToTail(pool.lru, entries, e);
  else if (get(trees, tree, slot) === e) put(pool, erase(trees, tree, slot));
  put(pool, e);
  unlockTree(trees, tree);
  return ok ? LOAD_OK : LOAD_EIO;
}

function shrinkOne(pool: ProtocolPool, m: number, busy: BusyProtocol): ShrinkResult {
  const { swapoff } = pool.protocols;
  const list = pool.lru;
  sync.step('a');
  const none = lockVictim(pool, m);
  if (none !== null) return none;
  w.x = victim.x;
  w.slot = victim.slot;
  w.e = victim.e;
  w.tree = treeOf(pool.trees, w.x, w.slot);
  w.life = lifeOf(pool.trees, w.tree);
  const held = swapoff.hold(pool, w.tree, w.e);
  if (held) lru.isolate(list, pool.entries, w.e);
  else lru.rotate(list, pool.entries, w.e);
  sync.unlock(list.lock, m);
  if (!held) return SHRINK.GONE;
  const result = writeback(pool, busy);
  swapoff.release(pool, w.tree);
  skipBusy(pool, m, result);
  return result;
}

function writeback(pool: ProtocolPool, busy: BusyProtocol): ShrinkResult {
  const { e } = w;
  const { earlyRef } = pool.protocols.swapoff;
  sync.step('b');
  lockTreeAt(pool.trees, w.tree, w.life);
  const current = get(pool.trees, w.tree, w.slot) === e;
  if (current && !earlyRef) change(pool, e, 1);
  unlockTree(pool.trees, w.tree);
  if (!current) {
    // Invalidated. Without an early reference the entry is not ours to touch; with one, ours is the last.
    if (earlyRef) put(pool, e);
    pool.count('writeback_invalidated');
    return SHRINK.GONE;
  }
  // Step c, which goes with b: from the reference on, nothing can happen to the entry that the failure of c would not meet.
  const buffer = pool.takePage(w.x);
  const r = buffer === 0 ? 0 : busy.pin(pool, w.x, w.slot);
  if (r > 0) return finish(pool, writePinned(pool, r, buffer));
  if (buffer !== 0) pool.givePage(buffer);
  return finish(pool, failed(pool, r));
}

function writePinned(pool: ProtocolPool, r: number, buffer: number): ShrinkResult {
  sync.step('d');
  lockTreeAt(pool.trees, w.tree, w.life);
  const current = get(pool.trees, w.tree, w.slot) === w.e;
  unlockTree(pool.trees, w.tree);
  if (current) sync.step('e');
  if (current && pool.decompress(w.e, pool.page(buffer))) {
    pool.startWrite(r, buffer);
    pool.slots.unpin(r);
    return SHRINK.WRITTEN;
  }
  pool.count(current ? 'decompress_fail' : 'writeback_invalidated');
  pool.givePage(buffer);
  pool.slots.unpin(r);
  return current ? SHRINK.EIO : SHRINK.GONE;
}

/** The page is unlocked: from here on only the references and, with tree-refcount, the hold keep entry and tree. */
function finish(pool: ProtocolPool, result: ShrinkResult): ShrinkResult {
  const { e } = w;
  const { trees } = pool;
  const { earlyRef } = pool.protocols.swapoff;
  sync.step('f');
  lockTreeAt(trees, w.tree, w.life);
  if (result !== SHRINK.WRITTEN) lru.putback(pool.lru, pool.entries, e);
  else if (get(trees, w.tree, w.slot) === e) put(pool, erase(trees, w.tree, w.slot));
  // drain-early-ref waits for entries, so the last reference is what keeps the tree: it goes after the lock.
  if (!earlyRef) put(pool, e);
  unlockTree(trees, w.tree);
  if (earlyRef) put(pool, e);
  return result;
}

export const refcountLruIsolate: EntryProtocol = {
  name: 'refcount-lru-isolate',
  publish,
  drop,
  load,
  invalidate,
  shrinkOne,
};
