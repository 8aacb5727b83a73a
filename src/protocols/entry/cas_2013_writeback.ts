/** Writeback of the entry protocol `cas-2013`: steps W1 to W5, between POOL and RECLAIM. */
import { NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { erase, get, lockTree, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import { type BusyProtocol, type ProtocolPool, SHRINK, type ShrinkResult } from '../protocol.ts';
import { free, move, moveBack, POOL, RECLAIM } from './cas_2013_position.ts';
import { failed, lockVictim } from './victim.ts';

export const STEPS = {
  W1: 'writeback, which has picked its victim, looks it up and moves it from POOL to RECLAIM',
  W2: 'takes a buffer and pins the slot',
  W3: 'decompresses the entry into the buffer',
  W4: 'starts the image write and unpins the slot',
  W5: 'takes the entry out of the tree and frees it',
} as const;

export function shrinkOne(pool: ProtocolPool, m: number, busy: BusyProtocol): ShrinkResult {
  const none = lockVictim(pool, m);
  if (none !== null) return none;
  const { x, slot, e } = pool.walk;
  lru.rotate(pool.lru, pool.entries, m, e);
  sync.unlock(pool.lru.lock, m);
  return writeback(pool, x, slot, busy);
}

/** For reclaim by pages: true if nothing is stored at the slot any more, be it that nothing was. */
export function evict(pool: ProtocolPool, x: number, slot: number, busy: BusyProtocol): boolean {
  return writeback(pool, x, slot, busy) === SHRINK.WRITTEN || pool.walk.e === NONE;
}

function writeback(pool: ProtocolPool, x: number, slot: number, busy: BusyProtocol): ShrinkResult {
  const { trees } = pool;
  const tree = treeOf(trees, x, slot);
  sync.step('W1');
  lockTree(trees, tree);
  const e = get(trees, tree, slot);
  const ours = e !== NONE && move(pool, e, POOL, RECLAIM) === POOL;
  unlockTree(trees, tree);
  pool.walk.e = e;
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
