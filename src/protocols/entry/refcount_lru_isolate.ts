/**
 * Entry protocol `refcount-lru-isolate` (Linux 6.8): a plain count under the tree lock, and writeback takes its victim off
 * the LRU before it drops the LRU lock. Its steps, a to f, are in refcount_lru_isolate_writeback.ts.
 *
 * Who frees: whoever drops the count to 0. Lock order: lru.lock (dropped) -> tree.lock -> lru.lock -> allocator;
 * pin -> tree.lock. Writeback takes its reference under the tree lock (b); a swapoff protocol may take one of its own
 * before, when it is asked for the tree (a), and says how counts change.
 * States: (in tree, on the LRU, 1) idle -> isolated -> (in tree, off, 2) -> freed when written | put back when not; an
 * invalidate meanwhile leaves (out, off, 1), which our last put frees.
 * Safe against leak and stale data: two looks at the tree (b, d), and the reference keeps the entry's index from reuse.
 * Known weakness: between a and b nothing keeps the tree, and before f, when the pin is gone, nothing does either:
 *   1. a   2. swapoff discards the slot   3. its entry is freed   4. the tree is freed   5. b locks it
 * tree-refcount and drain-early-ref close it. Discussed: linux-mm, January 2024,
 * "mm: zswap: remove unnecessary tree cleanups in zswap_swapoff()".
 */

import { NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, exchange, get, lockTree, NO_MEMORY, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import type { EntryDeclaration } from '../declaration.ts';
import { type EntryProtocol, LOAD_EIO, LOAD_MISS, LOAD_OK, type ProtocolPool } from '../protocol.ts';
import { exclusiveBypass, lruSkipAfterUnlock, on, slotReusableBeforeInvalidate } from '../switches.ts';
import { put, STEPS, shrinkOne } from './refcount_lru_isolate_writeback.ts';

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
  if (e !== NONE) pool.protocols.swapoff.count(pool, e, 1);
  unlockTree(trees, tree);
  if (e === NONE) return LOAD_MISS;
  const ok = pool.decompress(e, page);
  sync.step('LD: put');
  lockTree(trees, tree);
  entries.referenced[e] = 1;
  if (!ok || !on(pool, exclusiveBypass)) lru.moveToTail(pool.lru, entries, e);
  else if (get(trees, tree, slot) === e) put(pool, erase(trees, tree, slot));
  put(pool, e);
  unlockTree(trees, tree);
  return ok ? LOAD_OK : LOAD_EIO;
}

const declaration = {
  about: 'a count per entry, and writeback takes its victim off the LRU list, as Linux 6.8 did',
  steps: STEPS,
  facts: {
    asksForTree: true,
    pinsFirst: false,
    isolates: true,
    freesErased: false,
    uncounted: null,
    retries: false,
  },
  switches: [],
  brokenBy: [exclusiveBypass, slotReusableBeforeInvalidate, lruSkipAfterUnlock],
  usual: { swapoff: 'tree-refcount', busy: 'skip-eexist', invalidate: 'erase', switches: {} },
} as const satisfies EntryDeclaration;

export const refcountLruIsolate = {
  name: 'refcount-lru-isolate',
  declaration,
  publish,
  drop,
  load,
  invalidate,
  shrinkOne,
} as const satisfies EntryProtocol;
