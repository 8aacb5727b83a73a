/** What the swapoff protocols share: emptying a slice, giving back the trees of an export, and asking nothing of writeback. */
import { SLICE_SLOTS } from '../../pool/limits.ts';
import { freeTree, isEmpty, lockTree, treeOf, unlockTree } from '../../pool/tree.ts';
import { entriesIn } from '../../pool/tree_walk.ts';
import * as sync from '../../shm/sync.ts';
import type { Entry } from '../declaration.ts';
import type { InvalidateProtocol, ProtocolPool } from '../protocol.ts';

const stored = new Uint32Array(SLICE_SLOTS);

/** Writeback may go on, whatever it uses. */
export function holdNothing(): boolean {
  return true;
}

export function releaseNothing(): void {}

/**
 * Empties a slice: as an area where the entry protocol has that, as the frontswap era did, else slot by slot. It costs what
 * the slice holds: the slots with an entry are looked up at once. Their number can only fall behind that look, because the
 * slice is claimed and its export takes no writes; a slot that has lost its entry meanwhile is invalidated for nothing.
 * A slice never crosses a tree's edge: both are powers of two, and slices are aligned.
 */
export function discardSlice(
  pool: ProtocolPool,
  x: number,
  first: number,
  end: number,
  invalidate: InvalidateProtocol,
): void {
  const tree = treeOf(pool.trees, x, first);
  if (isEmpty(pool.trees, tree)) return;
  const { entry } = pool.protocols;
  if (entry.invalidateArea !== undefined) {
    entry.invalidateArea(pool, x, first, end);
    return;
  }
  lockTree(pool.trees, tree);
  const count = entriesIn(pool.trees, tree, first, end, stored);
  unlockTree(pool.trees, tree);
  for (let i = 0; i < count; i++) invalidate.invalidate(pool, x, stored[i]);
}

/** Frees the trees of export `x`; a tree that still holds entries is a leak, and reported. */
export function freeAll(pool: ProtocolPool, x: number): void {
  const { base } = pool.trees;
  sync.step('SO: free tree');
  for (let tree = base[x]; tree < base[x + 1]; tree++) freeTree(pool.trees, tree);
}

/** Waits until no entry of export `x` is alive. */
export function waitForEntries(pool: ProtocolPool, x: number): void {
  sync.step('SO: drain');
  for (let live = sync.load(pool.live, x); live > 0; live = sync.load(pool.live, x)) sync.retry(pool.live, x, live);
}

/** What whoever waits for entries says to an entry protocol. */
export function needsCounts({ name, declaration }: Entry): string | null {
  const { uncounted } = declaration.facts;
  return uncounted === null ? null : `waits for entry counts, and ${name} ${uncounted}`;
}

/** What whoever frees trees without asking says to an entry protocol. */
export function freesTooEarly({ declaration }: Entry): string | null {
  return declaration.facts.pinsFirst
    ? null
    : 'swapoff frees a tree that a writeback still uses: use after free, exit 70';
}
