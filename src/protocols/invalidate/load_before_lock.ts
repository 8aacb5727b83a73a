/**
 * What the invalidate protocols share that look before they lock: a lockless walk finds out whether there is anything to
 * erase, and only then the tree is locked. A read section from the walk to the unlock keeps the node of the place from being
 * used for something else.
 */
import { NONE } from '../../pool/entries.ts';
import { lockTree, treeOf, unlockTree } from '../../pool/tree.ts';
import { walk } from '../../pool/tree_walk.ts';
import * as rcu from '../../shm/rcu.ts';
import * as sync from '../../shm/sync.ts';
import type { Entry } from '../declaration.ts';
import type { InvalidateProtocol, ProtocolPool } from '../protocol.ts';

export const STEPS = {
  'INV: walk': 'an invalidate looks for the slot without a lock',
  'INV: clear': 'the invalidate locks the tree and clears the place',
} as const;

/** `clear`: takes what is stored at the slot out of the locked tree, knowing where the walk ended, and returns it. */
export function loadThenLock(
  clear: (pool: ProtocolPool, tree: number, slot: number) => number,
): InvalidateProtocol['invalidate'] {
  return (pool, x, slot) => {
    const { trees, place } = pool;
    const tree = treeOf(trees, x, slot);
    sync.step('INV: walk');
    rcu.enter(pool.readers, pool.thread);
    walk(trees, tree, slot, place);
    if (place.e === NONE) {
      rcu.exit(pool.readers, pool.thread);
      return;
    }
    sync.step('INV: clear');
    lockTree(trees, tree);
    const e = clear(pool, tree, slot);
    unlockTree(trees, tree);
    rcu.exit(pool.readers, pool.thread);
    if (e !== NONE) pool.free(e);
  };
}

export function freesAtOnce({ name, declaration }: Entry): string | null {
  if (declaration.facts.freesErased) return null;
  return `frees what it erased, and with ${name} somebody may still use that`;
}
