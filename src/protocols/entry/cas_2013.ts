/**
 * Entry protocol `cas-2013` (proposed by Weijie Yang on linux-mm, 12 October 2013, never merged): no count, but a
 * position per entry: whoever moves it from POOL to another by compare-and-swap has it to himself.
 *
 *   POOL -> LOAD -> POOL          POOL -> RECLAIM -> POOL (failed) or freed (written)          POOL -> FLUSH -> freed
 *
 * Who frees: who moved POOL to FLUSH, or writeback at the end of RECLAIM.
 * Lock order: tree.lock; pin -> tree.lock. Nobody waits with a pin for another pin.
 * Both races of refcount-2013 are gone. Known weakness: everybody else retries until the position is POOL again, without
 * a bound, and a store and swapoff do so with the tree lock held:
 *   deadlock A   1. W1 to W4: written, the page is unlocked   2. a WRITE to the slot holds tree.lock and waits for POOL
 *                3. W5 waits for tree.lock
 *   deadlock B   the same against swapoff's area
 *   deadlock C   invalidate waits for POOL under the lock of the swap device, which the pin in W2 needs
 *                (`invalidateUnderDeviceLock`)
 */

import { checkLive, NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, exchange, get, lockTree, NO_MEMORY, treeOf, unlockTree } from '../../pool/tree.ts';
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
import { failed, lockVictim, victim } from './victim.ts';

const POOL = 1;
const LOAD = 2;
const RECLAIM = 3;
const FLUSH = 4;

/** The position that was found; the move happened if that is `from`. */
function move(pool: ProtocolPool, e: number, from: number, to: number): number {
  checkLive(pool.entries, e);
  return sync.cas(pool.entries.state, e, from, to);
}

/** A move that nobody can be in the way of: the kernel had BUG_ON here. */
function moveBack(pool: ProtocolPool, e: number, from: number): void {
  const found = move(pool, e, from, POOL);
  if (found !== from) sync.violation('bug', `entry ${e} is at position ${found}, not ${from}`);
}

/** Frees an entry that this thread has to itself. Its position changes, so that whoever waits for it looks again. */
function free(pool: ProtocolPool, e: number): void {
  sync.store(pool.entries.state, e, 0);
  pool.free(e);
}

function publish(pool: ProtocolPool, e: number): boolean {
  const { entries, trees } = pool;
  const slot = entries.slot[e];
  const tree = treeOf(trees, entries.volume[e], slot);
  sync.store(entries.state, e, POOL);
  sync.step('ST: insert');
  lockTree(trees, tree);
  const old = flush(pool, tree, slot);
  const put = exchange(trees, tree, slot, e) !== NO_MEMORY;
  unlockTree(trees, tree);
  if (old !== NONE) free(pool, old);
  if (put && entries.length[e] > 0) lru.add(pool.lru, entries, e);
  return put;
}

/** Makes the slot's entry ours, waiting with the tree lock held: nobody can take it out of the tree meanwhile. */
function flush(pool: ProtocolPool, tree: number, slot: number): number {
  const e = get(pool.trees, tree, slot);
  if (e === NONE) return NONE;
  for (;;) {
    const found = move(pool, e, POOL, FLUSH);
    if (found === POOL) return e;
    sync.retry(pool.entries.state, e, found);
  }
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
  for (;;) {
    lockTree(trees, tree);
    const e = get(trees, tree, slot);
    const found = e === NONE ? POOL : move(pool, e, POOL, FLUSH);
    if (found === POOL && e !== NONE) erase(trees, tree, slot);
    unlockTree(trees, tree);
    if (found === POOL) {
      if (e !== NONE) free(pool, e);
      return;
    }
    sync.retry(pool.entries.state, e, found);
  }
}

/** As a store does, for every slot of the area, and with the lock held just as long. */
function invalidateArea(pool: ProtocolPool, x: number, first: number, end: number): void {
  const { trees } = pool;
  const tree = treeOf(trees, x, first);
  sync.step('SO: area');
  lockTree(trees, tree);
  for (let slot = first; slot < end; slot++) {
    const e = flush(pool, tree, slot);
    if (e === NONE) continue;
    erase(trees, tree, slot);
    free(pool, e);
  }
  unlockTree(trees, tree);
}

function load(pool: ProtocolPool, x: number, slot: number, page: Uint8Array): number {
  const { trees, entries } = pool;
  const tree = treeOf(trees, x, slot);
  for (;;) {
    sync.step('LD: get');
    lockTree(trees, tree);
    const e = get(trees, tree, slot);
    const found = e === NONE ? POOL : move(pool, e, POOL, LOAD);
    unlockTree(trees, tree);
    if (e === NONE) return LOAD_MISS;
    if (found === POOL) {
      const ok = pool.decompress(e, page);
      entries.referenced[e] = 1;
      moveBack(pool, e, LOAD);
      return ok ? LOAD_OK : LOAD_EIO;
    }
    sync.retry(entries.state, e, found);
  }
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
  const e = get(trees, tree, slot);
  const ours = e !== NONE && move(pool, e, POOL, RECLAIM) === POOL;
  unlockTree(trees, tree);
  if (!ours) return e === NONE ? SHRINK.GONE : SHRINK.EEXIST;
  sync.step('W2');
  const buffer = pool.takePage(x);
  const r = buffer === 0 ? 0 : busy.pin(pool, x, slot);
  if (r > 0) return writePinned(pool, tree, slot, e, r, buffer);
  if (buffer !== 0) pool.givePage(buffer);
  moveBack(pool, e, RECLAIM);
  return failed(pool, r);
}

function writePinned(pool: ProtocolPool, tree: number, slot: number, e: number, r: number, buffer: number) {
  const { trees } = pool;
  sync.step('W3');
  if (!pool.decompress(e, pool.page(buffer))) {
    pool.count('decompress_fail');
    pool.givePage(buffer);
    pool.slots.unpin(r);
    moveBack(pool, e, RECLAIM);
    return SHRINK.EIO;
  }
  sync.step('W4');
  pool.startWrite(r, buffer);
  pool.slots.unpin(r);
  sync.step('W5');
  lockTree(trees, tree);
  erase(trees, tree, slot);
  unlockTree(trees, tree);
  free(pool, e);
  return SHRINK.WRITTEN;
}

export const cas2013: EntryProtocol = { name: 'cas-2013', publish, drop, load, invalidate, invalidateArea, shrinkOne };
