/**
 * Writeback of the entry protocol `refcount-lru-isolate`: steps a to f. What it works on is in the pool's `walk`, because it
 * comes back to the tree without a pin, and has to find the one that it began with.
 */
import * as lru from '../../pool/lru.ts';
import { erase, get, lifeOf, lockTreeAt, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import { type BusyProtocol, type ProtocolPool, SHRINK, type ShrinkResult } from '../protocol.ts';
import { failed, lockVictim, skipBusy } from './victim.ts';

export const STEPS = {
  a: 'writeback picks its victim under the LRU lock and takes it off the list',
  b: 'looks at the tree, takes a reference to the entry if it is still there, then a buffer and the pin',
  d: 'looks at the tree again, under the pin',
  e: 'decompresses the entry, starts the image write and unpins the slot',
  f: 'takes the entry out of the tree, or puts it back on the list, and drops its reference',
} as const;

/** Drops a reference; who drops the last frees. */
export function put(pool: ProtocolPool, e: number): void {
  if (pool.protocols.swapoff.count(pool, e, -1) === 0) pool.free(e);
}

export function shrinkOne(pool: ProtocolPool, m: number, busy: BusyProtocol): ShrinkResult {
  const { entries, trees, walk } = pool;
  const list = pool.lru;
  sync.step('a');
  const none = lockVictim(pool, m);
  if (none !== null) return none;
  walk.tree = treeOf(trees, walk.x, walk.slot);
  walk.life = lifeOf(trees, walk.tree);
  const held = pool.protocols.swapoff.hold(pool, walk.tree, walk.e);
  if (held) lru.isolate(list, entries, m, walk.e);
  else lru.rotate(list, entries, m, walk.e);
  sync.unlock(list.lock, m);
  if (!held) return SHRINK.GONE;
  const result = writeback(pool, busy);
  skipBusy(pool, m, result);
  return result;
}

function writeback(pool: ProtocolPool, busy: BusyProtocol): ShrinkResult {
  const { trees, walk } = pool;
  const { swapoff } = pool.protocols;
  const { e } = walk;
  sync.step('b');
  lockTreeAt(trees, walk.tree, walk.life);
  const current = get(trees, walk.tree, walk.slot) === e;
  if (current) swapoff.count(pool, e, 1);
  unlockTree(trees, walk.tree);
  if (!current) {
    // Invalidated: nothing of the entry is ours.
    pool.count('writeback_invalidated');
    swapoff.release(pool, walk.tree, e);
    return SHRINK.GONE;
  }
  // Step c, which goes with b: from the reference on, nothing can happen to the entry that the failure of c would not meet.
  const buffer = pool.takePage(walk.x);
  const r = buffer === 0 ? 0 : busy.pin(pool, walk.x, walk.slot);
  if (r > 0) return finish(pool, writePinned(pool, r, buffer));
  if (buffer !== 0) pool.givePage(buffer);
  return finish(pool, failed(pool, r));
}

function writePinned(pool: ProtocolPool, r: number, buffer: number): ShrinkResult {
  const { trees, walk } = pool;
  sync.step('d');
  lockTreeAt(trees, walk.tree, walk.life);
  const current = get(trees, walk.tree, walk.slot) === walk.e;
  unlockTree(trees, walk.tree);
  if (current) sync.step('e');
  if (current && pool.decompress(walk.e, pool.page(buffer))) {
    pool.startWrite(r, buffer);
    pool.slots.unpin(r);
    return SHRINK.WRITTEN;
  }
  pool.count(current ? 'decompress_fail' : 'writeback_invalidated');
  pool.givePage(buffer);
  pool.slots.unpin(r);
  return current ? SHRINK.EIO : SHRINK.GONE;
}

/** The page is unlocked: from here on only the reference keeps the entry, and what the swapoff protocol holds the tree. */
function finish(pool: ProtocolPool, result: ShrinkResult): ShrinkResult {
  const { trees, walk } = pool;
  const { e } = walk;
  sync.step('f');
  lockTreeAt(trees, walk.tree, walk.life);
  if (result !== SHRINK.WRITTEN) lru.putback(pool.lru, pool.entries, e);
  else if (get(trees, walk.tree, walk.slot) === e) put(pool, erase(trees, walk.tree, walk.slot));
  put(pool, e);
  unlockTree(trees, walk.tree);
  pool.protocols.swapoff.release(pool, walk.tree, e);
  return result;
}
