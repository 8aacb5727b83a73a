/**
 * Entry protocol `pin-validate` (Linux 6.9 and later): no reference count: an entry is alive exactly while it is in its
 * tree; a pinned slot makes that stable. Writeback copies the slot number under the LRU lock, pins the slot, and only then
 * compares what the tree holds with the entry it picked. Until that comparison the entry is an opaque number.
 *
 * Who frees: whoever took the entry out of the tree.
 * Lock order: lru.lock (dropped) -> pin -> tree.lock -> lru.lock -> allocator.
 * States: live (in the tree) -> freed. Nothing in between that another thread could see.
 * Known weakness: none while E1 to E4 hold. If a slot can be used again before its invalidate returned (E2 broken), a new
 * store is erased. Discussed: linux-mm, January 2024, "mm: zswap: remove unnecessary tree cleanups in zswap_swapoff()",
 * and the patch that became 5878303c5353.
 */

import { NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, exchange, get, lockTree, NO_MEMORY, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import type { BreakingSwitch, EntryDeclaration } from '../declaration.ts';
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
import { exclusiveBypass, lruSkipAfterUnlock, on, slotReusableBeforeInvalidate } from '../switches.ts';
import { failed, lockVictim, skipBusy } from './victim.ts';

/** Off is 678e54d4bb9a undone. */
const eraseOnReject = {
  name: 'eraseOnReject',
  default: true,
  about: 'A page that the pool rejects replaces the older one in the pool. false needs unsafe.',
  breaks: 'a page that the pool rejects is shadowed by the older one in the pool: stale data',
} as const satisfies BreakingSwitch;

function publish(pool: ProtocolPool, e: number): boolean {
  const { entries, trees } = pool;
  const slot = entries.slot[e];
  const tree = treeOf(trees, entries.volume[e], slot);
  sync.step('ST: insert');
  lockTree(trees, tree);
  const old = exchange(trees, tree, slot, e);
  unlockTree(trees, tree);
  if (old === NO_MEMORY) return false;
  if (old !== NONE) pool.free(old);
  // Publishing to writeback is last: from here on the entry may be written back and freed by another thread, as soon as
  // our caller drops the pin.
  if (entries.length[e] > 0) lru.add(pool.lru, entries, e);
  return true;
}

/** Without this a stale entry would shadow, and later overwrite, the newer page that went to the image. */
function drop(pool: ProtocolPool, x: number, slot: number): void {
  if (!on(pool, eraseOnReject)) return;
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
  unlockTree(trees, tree);
  if (e !== NONE) pool.free(e);
}

/**
 * The kernel erases here, because it marks the page in memory dirty at the same moment. A server can't: a guest that READ
 * a page keeps it clean, may drop it without a WRITE, and READ the slot again.
 */
function load(pool: ProtocolPool, x: number, slot: number, page: Uint8Array): number {
  const { entries, trees } = pool;
  const tree = treeOf(trees, x, slot);
  sync.step('LD: get');
  lockTree(trees, tree);
  const e = get(trees, tree, slot);
  unlockTree(trees, tree);
  if (e === NONE) return LOAD_MISS;
  // The pin keeps the entry alive without the tree lock: whoever would free it needs the pin first.
  if (!pool.decompress(e, page)) return LOAD_EIO;
  entries.referenced[e] = 1;
  if (on(pool, exclusiveBypass)) remove(pool, x, slot);
  return LOAD_OK;
}

function shrinkOne(pool: ProtocolPool, m: number, busy: BusyProtocol): ShrinkResult {
  const list = pool.lru;
  const { swapoff } = pool.protocols;
  sync.step('b');
  const none = lockVictim(pool, m);
  if (none !== null) return none;
  const { x, slot, e } = pool.walk;
  const tree = treeOf(pool.trees, x, slot);
  // Rotated before the lock is dropped, for either outcome. Written back or invalidated: whoever frees the entry unlinks
  // it from where it is. Failed: the tail is the right place, and later there would be no way to put it there, because
  // nothing tells whether the entry is still alive:
  //   1. we drop lru.lock   2. a TRIM frees the entry, a store reuses its index   3. we would link a stranger
  lru.rotate(list, pool.entries, m, e);
  const held = swapoff.hold(pool, tree, e);
  sync.unlock(list.lock, m);
  if (!held) return SHRINK.GONE;
  const result = writeback(pool, x, slot, e, busy);
  swapoff.release(pool, tree, e);
  skipBusy(pool, m, result);
  return result;
}

/** From here on `e` is only compared, until the tree confirms it under the pin. */
function writeback(pool: ProtocolPool, x: number, slot: number, e: number, busy: BusyProtocol): ShrinkResult {
  const buffer = pool.takePage(x);
  if (buffer === 0) return SHRINK.ENOMEM;
  sync.step('d');
  const r = busy.pin(pool, x, slot);
  if (r <= 0) {
    pool.givePage(buffer);
    return failed(pool, r);
  }
  const result = writePinned(pool, x, slot, e, r, buffer);
  if (result !== SHRINK.WRITTEN) pool.givePage(buffer);
  // Nothing of the entry or the tree is touched after this.
  pool.slots.unpin(r);
  return result;
}

function writePinned(pool: ProtocolPool, x: number, slot: number, e: number, r: number, buffer: number): ShrinkResult {
  const { trees } = pool;
  const tree = treeOf(trees, x, slot);
  sync.step('e');
  lockTree(trees, tree);
  const current = get(trees, tree, slot);
  unlockTree(trees, tree);
  // Without this comparison a recycled slot would be overwritten with old data:
  //   1. we copy slot n   2. TRIM n, WRITE n goes to the image   3. we pin n, and would write the old page over it
  // If the index was reused for the same slot, it is exactly the entry that should be written.
  if (current !== e) {
    pool.count('writeback_invalidated');
    return SHRINK.GONE;
  }
  sync.step('f');
  if (!pool.decompress(e, pool.page(buffer))) {
    pool.count('decompress_fail');
    return SHRINK.EIO;
  }
  lockTree(trees, tree);
  erase(trees, tree, slot);
  unlockTree(trees, tree);
  sync.step('g');
  pool.free(e);
  pool.startWrite(r, buffer);
  return SHRINK.WRITTEN;
}

const declaration = {
  about: 'no count; writeback pins the slot, then compares, as Linux does since 6.9',
  steps: {
    b: 'writeback picks its victim under the LRU lock and copies the slot number',
    d: 'pins the slot',
    e: 'compares what the tree holds with the victim',
    f: 'decompresses the entry and takes it out of the tree',
    g: 'frees the entry and starts the image write',
  },
  facts: {
    asksForTree: true,
    pinsFirst: true,
    isolates: false,
    freesErased: true,
    uncounted: 'has none',
    retries: false,
  },
  switches: [eraseOnReject],
  brokenBy: [eraseOnReject, exclusiveBypass, slotReusableBeforeInvalidate, lruSkipAfterUnlock],
  usual: { swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'erase', switches: {} },
} as const satisfies EntryDeclaration;

export const pinValidate = {
  name: 'pin-validate',
  declaration,
  pinKeepsEntry: true,
  publish,
  drop,
  load,
  invalidate,
  shrinkOne,
} as const satisfies EntryProtocol;
