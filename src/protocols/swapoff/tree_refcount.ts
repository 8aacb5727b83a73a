/**
 * Swapoff protocol `tree-refcount` (Yosry Ahmed's idea, linux-mm, January 2024; not merged): writeback holds a reference to
 * the tree, taken under the LRU lock inside a read section; swapoff kills the count and waits until it is 0.
 *
 * The tree's word: 1 for being swapped on, plus one per writeback, plus KILLED once swapoff has begun.
 *
 *   writeback   read section { not killed and not 0: + 1 } ... every way out: - 1
 *   swapoff     drain the slots; KILLED, - 1; wait for the read sections; wait for 0; free
 *
 * Who frees: swapoff. Lock order: lru.lock -> (nothing: the word is atomic). No deadlock: writeback may wait for a pin with
 * the reference held, swapoff waits for the reference with nothing held.
 * Known weakness: none in safety. Chris Li objected to its cost on the writeback path, and to memory for per-CPU counts.
 */
import { refsOf } from '../../pool/tree.ts';
import * as rcu from '../../shm/rcu.ts';
import * as sync from '../../shm/sync.ts';
import { countUnderLock } from '../counts.ts';
import type { Entry } from '../declaration.ts';
import type { ProtocolPool, SwapoffProtocol } from '../protocol.ts';
import { discardSlice, freeAll } from './free_trees.ts';

const KILLED = 0x40000000;

function hold(pool: ProtocolPool, tree: number): boolean {
  const { words } = pool.trees;
  rcu.enter(pool.readers, pool.thread);
  let refs = sync.load(words, refsOf(tree));
  for (;;) {
    if (refs === 0 || (refs & KILLED) !== 0) break;
    const found = sync.cas(words, refsOf(tree), refs, refs + 1);
    if (found === refs) break;
    refs = found;
  }
  rcu.exit(pool.readers, pool.thread);
  return refs !== 0 && (refs & KILLED) === 0;
}

function release(pool: ProtocolPool, tree: number): void {
  sync.add(pool.trees.words, refsOf(tree), -1);
}

function freeTrees(pool: ProtocolPool, x: number): void {
  const { base, words } = pool.trees;
  sync.step('SO: kill');
  for (let tree = base[x]; tree < base[x + 1]; tree++) sync.add(words, refsOf(tree), KILLED - 1);
  rcu.synchronize(pool.readers);
  sync.step('SO: wait');
  for (let tree = base[x]; tree < base[x + 1]; tree++) {
    const word = refsOf(tree);
    for (let refs = sync.load(words, word); refs !== KILLED; refs = sync.load(words, word))
      sync.retry(words, word, refs);
  }
  freeAll(pool, x);
}

function refuses({ name, declaration }: Entry): string | null {
  if (declaration.facts.asksForTree) return null;
  return `needs a writeback that asks for the tree, and ${name} does not`;
}

export const treeRefcount = {
  name: 'tree-refcount',
  declaration: {
    about: 'waits until no writeback has a reference to the tree',
    steps: {
      'SO: kill': 'swapoff lets nobody else take a reference to the tree',
      'SO: wait': 'swapoff waits for those that have one',
    },
    refuses,
  },
  countsEntries: false,
  hold,
  release,
  count: countUnderLock,
  discard: discardSlice,
  freeTrees,
} as const satisfies SwapoffProtocol;
