/**
 * Busy protocol `remove-from-lru-on-fault` (version 2 of "zswap: make shrinking memcg-aware", linux-mm, September 2023; not
 * merged): a request that has pinned a slot takes the slot's entry off the LRU, so that the reclaim it may cause can't pick
 * it, and puts it back before it drops the pin. Writeback waits for pins, as with `none`.
 *
 * Lock order: pin -> tree.lock -> lru.lock. Cost: a tree lookup and two LRU operations in every request.
 * Known weakness: an entry that writeback holds isolated is not on the LRU to be taken off:
 *   1. a: writeback isolates the entry   2. c: no page for it   3. a request pins   4. it finds nothing to take off
 *   5. f: writeback puts the entry back   6. the reclaim of the request picks it, and waits for the request's own pin
 */
import { NONE } from '../../pool/entries.ts';
import * as lru from '../../pool/lru.ts';
import { get, isFreed, lockTree, treeOf, unlockTree } from '../../pool/tree.ts';
import * as sync from '../../shm/sync.ts';
import type { BusyProtocol, ProtocolPool } from '../protocol.ts';
import { pinWaiting } from './wait_for_pin.ts';

function onFault(pool: ProtocolPool, x: number, slot: number): boolean {
  const tree = treeOf(pool.trees, x, slot);
  // After swapoff the header can still be read; there is no entry then.
  if (isFreed(pool.trees, tree)) return false;
  sync.step('PF: lru del');
  lockTree(pool.trees, tree);
  const e = get(pool.trees, tree, slot);
  const removed = e !== NONE && lru.isolateIfLinked(pool.lru, pool.entries, e);
  unlockTree(pool.trees, tree);
  return removed;
}

/** Looks the slot up again: what was taken off may be freed, and another entry be there, which is on the LRU. */
function onFaultDone(pool: ProtocolPool, x: number, slot: number): void {
  const tree = treeOf(pool.trees, x, slot);
  sync.step('PF: lru add');
  lockTree(pool.trees, tree);
  const e = get(pool.trees, tree, slot);
  if (e !== NONE) lru.putback(pool.lru, pool.entries, e);
  unlockTree(pool.trees, tree);
}

export const removeFromLruOnFault = {
  name: 'remove-from-lru-on-fault',
  declaration: {
    about: 'waits, and a request takes the entry of the slot it pins off the LRU list',
    steps: {
      'PF: lru del': 'a request has pinned the slot and takes its entry off the LRU',
      'PF: lru add': 'the request puts the entry back before it drops the pin',
    },
    weakness: () =>
      'writeback waits for a pin that waits for it at a memcg limit where writeback has the entry isolated: deadlock, exit 70',
  },
  waits: true,
  pin: pinWaiting,
  onFault,
  onFaultDone,
} as const satisfies BusyProtocol;
