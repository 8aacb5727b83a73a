/**
 * Entry protocol `cas-2013` (proposed by Weijie Yang on linux-mm, 12 October 2013, never merged): no count, but a
 * position per entry: whoever moves it from POOL to another by compare-and-swap has it to himself.
 *
 *   POOL -> LOAD -> POOL          POOL -> RECLAIM -> POOL (failed) or freed (written)          POOL -> FLUSH -> freed
 *
 * Who frees: who moved POOL to FLUSH, or writeback at the end of RECLAIM.
 * Lock order: tree.lock; pin -> tree.lock. Nobody waits with a pin for another pin.
 * Writeback, W1 to W5, is in cas_2013_writeback.ts; the positions are in cas_2013_position.ts.
 * Both races of refcount-2013 are gone. Known weakness: everybody else retries until the position is POOL again, without
 * a bound, and a store and swapoff do so with the tree lock held:
 *   deadlock A   1. W1 to W4: written, the page is unlocked   2. a WRITE to the slot holds tree.lock and waits for POOL
 *                3. W5 waits for tree.lock
 *   deadlock B   the same against swapoff's area
 *   deadlock C   invalidate waits for POOL under the lock of the swap device, which the pin in W2 needs
 *                (`invalidateUnderDeviceLock`)
 */

import { NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, exchange, get, lockTree, NO_MEMORY, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import type { EntryDeclaration } from '../declaration.ts';
import { type EntryProtocol, LOAD_EIO, LOAD_MISS, LOAD_OK, type ProtocolPool } from '../protocol.ts';
import { invalidateUnderDeviceLock, slotReusableBeforeInvalidate } from '../switches.ts';
import { FLUSH, free, LOAD, move, moveBack, POOL } from './cas_2013_position.ts';
import { evict, STEPS, shrinkOne } from './cas_2013_writeback.ts';

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

const declaration = {
  about: 'a position per entry, moved by compare-and-swap, as proposed in 2013',
  steps: STEPS,
  facts: {
    asksForTree: false,
    pinsFirst: false,
    isolates: false,
    freesErased: false,
    uncounted: 'has none',
    retries: true,
  },
  switches: [],
  brokenBy: [slotReusableBeforeInvalidate, invalidateUnderDeviceLock],
  weaknesses: () => [{ text: 'a store and swapoff wait for writeback with the tree locked: deadlock, exit 70' }],
  usual: { swapoff: 'free-immediately', busy: 'skip-eexist', invalidate: 'erase', switches: {} },
} as const satisfies EntryDeclaration;

export const cas2013 = {
  name: 'cas-2013',
  declaration,
  publish,
  drop,
  load,
  invalidate,
  invalidateArea,
  shrinkOne,
  evict,
} as const satisfies EntryProtocol;
