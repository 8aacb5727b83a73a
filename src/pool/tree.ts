/**
 * Split trees: a map from slot to entry index, one xarray per 2^14 slots (64 MiB) of an export, each with its own lock.
 *
 *   head word: 0 = empty | entry (only index 0 is in use) | NODE | node number
 *   node: 64 words; at shift 0 they are entries, above it node numbers; plus count, shift and a dead mark
 *
 * Nodes are taken on demand, so an 8 TiB export costs what it stores. As in the kernel's xas_shrink, removing the last
 * sibling of index 0 moves the lone entry into the head, writes RETRY into the dead node's slot 0 and frees the node:
 * the transition that a lockless invalidate can trip over. Indices are relative to the tree, so that any tree can do it,
 * or absolute as in the kernel, where only the tree of slot 0 can.
 *
 * A tree's life is odd while it is freed (after swapoff). Locking or unlocking a freed tree, or one that was freed since
 * its "pointer" (number and life) was taken, is a use after free and is reported.
 *
 * Lock order: pin -> tree.lock -> lru.lock -> allocator; the node table's lock is a leaf.
 */
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { NONE } from './entries.ts';
import { TREE_PAGES, TREE_SHIFT } from './limits.ts';
import { allocNode, createNodes, FANOUT, freeNode, type Nodes, placeOf, slotsOf } from './nodes.ts';

export { NODE_BYTES, nodesFor, nodesInUse } from './nodes.ts';
export const NODE = 0x40000000;
/** Left in slot 0 of a dead node: a lockless walker that meets it must start again. */
export const RETRY = -1;
export const NO_MEMORY = -2;
/** Head of a freed tree: no entry has this index. */
const POISON = 0x3fffffff;

export interface Trees extends Nodes {
  /** Per tree: [lock, head, references (tree-refcount), life]. Trees of export x start at base[x]. */
  readonly words: Int32Array;
  readonly base: Int32Array;
  /** What is kept of a slot to make its index. */
  readonly mask: number;
}

export const STRIDE = 4;
export const HEAD = 1;
const REFS = 2;
const LIFE = 3;
/** Slots fit 31 bits. */
const ABSOLUTE = 0x7fffffff;

interface TreeOptions {
  /** Index trees by the whole slot number. */
  readonly absolute?: boolean;
  /** Read sections, where an invalidate protocol walks without the lock. */
  readonly readers?: Int32Array | null;
}

/** `pages`: the size of each export in slots. `nodes`: how many tree nodes there may be at once. */
export function createTrees(pages: readonly number[], nodes: number, options: TreeOptions = {}): Trees {
  const base = int32(pages.length + 1);
  let trees = 0;
  pages.forEach((count, x) => {
    base[x] = trees;
    trees += Math.ceil(count / TREE_PAGES);
  });
  base[pages.length] = trees;
  const words = int32(trees * STRIDE);
  for (let tree = 0; tree < trees; tree++) words[tree * STRIDE + REFS] = 1;
  return {
    words,
    base,
    mask: treeMask(options.absolute === true),
    ...createNodes(nodes, options.readers ?? null),
  };
}

/** What is kept of a slot to make its index in its tree. */
export function treeMask(absolute: boolean): number {
  return absolute ? ABSOLUTE : TREE_PAGES - 1;
}

/** The tree that holds `slot` of export `x`. */
export function treeOf(t: Trees, x: number, slot: number): number {
  return t.base[x] + (slot >>> TREE_SHIFT);
}

export function lockTree(t: Trees, tree: number): void {
  sync.lock(t.words, tree * STRIDE);
  if ((t.words[tree * STRIDE + LIFE] & 1) === 1) usedAfterFree(tree, 'locked');
}

/** Locks through a pointer that was taken earlier: `life` is what lifeOf answered then. */
export function lockTreeAt(t: Trees, tree: number, life: number): void {
  sync.lock(t.words, tree * STRIDE);
  if (t.words[tree * STRIDE + LIFE] !== life || (life & 1) === 1) usedAfterFree(tree, 'locked');
}

export function unlockTree(t: Trees, tree: number): void {
  if ((lifeOf(t, tree) & 1) === 1) usedAfterFree(tree, 'unlocked');
  sync.unlock(t.words, tree * STRIDE);
}

function usedAfterFree(tree: number, what: string): never {
  sync.violation('use after free', `tree ${tree} was freed by swapoff and is ${what}`);
}

/** Together with the tree's number this is the pointer to it: it changes when the tree is freed. */
export function lifeOf(t: Trees, tree: number): number {
  return sync.load(t.words, tree * STRIDE + LIFE);
}

export function isFreed(t: Trees, tree: number): boolean {
  return (lifeOf(t, tree) & 1) === 1;
}

/** Index of the tree's reference word in `words`; swapoff protocols count in it. */
export function refsOf(tree: number): number {
  return tree * STRIDE + REFS;
}

/** What is kept in the entries of a tree belongs to its lock. */
export function heldTree(t: Trees, x: number, slot: number): void {
  sync.held(t.words, treeOf(t, x, slot) * STRIDE);
}

/** Gives the tree back, as kfree would. It must be empty; who holds its lock or a pointer to it now holds garbage. */
export function freeTree(t: Trees, tree: number): void {
  if (sync.load(t.words, tree * STRIDE + HEAD) !== 0)
    sync.violation('leak', `tree ${tree} is freed with entries in it`);
  sync.store(t.words, tree * STRIDE + HEAD, POISON);
  sync.add(t.words, tree * STRIDE + LIFE, 1);
}

/** A new, empty tree in the place of a freed one (swapon). */
export function reviveTree(t: Trees, tree: number): void {
  sync.store(t.words, tree * STRIDE + HEAD, NONE);
  sync.store(t.words, tree * STRIDE + REFS, 1);
  sync.add(t.words, tree * STRIDE + LIFE, 1);
}

/** Lockless; true only when nothing is in the tree. */
export function isEmpty(t: Trees, tree: number): boolean {
  return sync.load(t.words, tree * STRIDE + HEAD) === 0;
}

/** The entry at `slot`, or NONE. Caller holds the tree lock. */
export function get(t: Trees, tree: number, slot: number): number {
  sync.held(t.words, tree * STRIDE);
  const index = slot & t.mask;
  const head = t.words[tree * STRIDE + HEAD];
  if ((head & NODE) === 0) return index === 0 ? head : NONE;
  let node = head & ~NODE;
  let shift = t.nodeShift[node];
  if (index >>> shift >= FANOUT) return NONE;
  for (;;) {
    const below = slotsOf(t, node)[placeOf(node, (index >>> shift) & (FANOUT - 1))];
    if (shift === 0 || below === NONE) return below;
    node = below;
    shift -= 6;
  }
}

/** Puts `e` at `slot`; returns the entry it displaced, NONE, or NO_MEMORY with the tree unchanged. Tree lock held. */
export function exchange(t: Trees, tree: number, slot: number, e: number): number {
  sync.held(t.words, tree * STRIDE);
  const index = slot & t.mask;
  const headWord = tree * STRIDE + HEAD;
  if (index === 0 && (t.words[headWord] & NODE) === 0) {
    const old = t.words[headWord];
    sync.store(t.words, headWord, e);
    return old;
  }
  if (!growTo(t, headWord, index)) return NO_MEMORY;
  let node = t.words[headWord] & ~NODE;
  for (let shift = t.nodeShift[node]; shift > 0; shift -= 6) {
    const slots = slotsOf(t, node);
    const at = placeOf(node, (index >>> shift) & (FANOUT - 1));
    let below = slots[at];
    if (below === NONE) {
      below = allocNode(t, shift - 6);
      if (below === NONE) {
        // The nodes above were made for this index alone or were there before; an empty one is taken back.
        prune(t, headWord, index);
        return NO_MEMORY;
      }
      slots[at] = below;
      t.nodeCount[node]++;
    }
    node = below;
  }
  const slots = slotsOf(t, node);
  const at = placeOf(node, index & (FANOUT - 1));
  const old = slots[at];
  sync.store(slots, at, e);
  if (old === NONE) t.nodeCount[node]++;
  return old;
}

/** Takes the entry at `slot` out; returns it or NONE. Caller holds the tree lock. */
export function erase(t: Trees, tree: number, slot: number): number {
  sync.held(t.words, tree * STRIDE);
  const index = slot & t.mask;
  const headWord = tree * STRIDE + HEAD;
  const head = t.words[headWord];
  if ((head & NODE) === 0) {
    if (index !== 0 || head === NONE) return NONE;
    sync.store(t.words, headWord, NONE);
    return head;
  }
  let node = head & ~NODE;
  if (index >>> t.nodeShift[node] >= FANOUT) return NONE;
  while (t.nodeShift[node] > 0) {
    node = slotsOf(t, node)[placeOf(node, (index >>> t.nodeShift[node]) & (FANOUT - 1))];
    if (node === NONE) return NONE;
  }
  const at = placeOf(node, index & (FANOUT - 1));
  const old = slotsOf(t, node)[at];
  if (old !== NONE) clear(t, headWord, node, at, index);
  return old;
}

/** Empties a used slot of a leaf, at `at` of its part, then takes back what is no longer needed above it. */
export function clear(t: Trees, headWord: number, node: number, at: number, index: number): void {
  sync.held(t.words, headWord - HEAD);
  sync.store(slotsOf(t, node), at, NONE);
  t.nodeCount[node]--;
  // Only a writer with a stale place meets a dead node; what it does there reaches nothing.
  if (t.nodeDead[node] === 1) return;
  if (t.nodeCount[node] === 0) prune(t, headWord, index);
  else if (t.nodeCount[node] === 1) shrink(t, headWord);
}

/** Makes the root cover `index`, adding levels above what is there. */
function growTo(t: Trees, headWord: number, index: number): boolean {
  for (;;) {
    const head = t.words[headWord];
    if ((head & NODE) === 0) {
      let shift = 0;
      while (index >>> shift >= FANOUT) shift += 6;
      // A lone entry in the head has index 0: it goes down the left edge of the new root.
      const root = allocNode(t, head === NONE ? shift : 0);
      if (root === NONE) return false;
      if (head !== NONE) {
        slotsOf(t, root)[placeOf(root, 0)] = head;
        t.nodeCount[root] = 1;
      }
      sync.store(t.words, headWord, root | NODE);
      continue;
    }
    const root = head & ~NODE;
    if (index >>> t.nodeShift[root] < FANOUT) return true;
    const above = allocNode(t, t.nodeShift[root] + 6);
    if (above === NONE) {
      prune(t, headWord, 0);
      shrink(t, headWord);
      return false;
    }
    slotsOf(t, above)[placeOf(above, 0)] = root;
    t.nodeCount[above] = 1;
    sync.store(t.words, headWord, above | NODE);
  }
}

/** Frees the empty nodes on the path to `index`, bottom up, then shrinks the root. */
function prune(t: Trees, headWord: number, index: number): void {
  for (;;) {
    const head = t.words[headWord];
    if ((head & NODE) === 0) return;
    let above: number = NONE;
    let at = 0;
    let node = head & ~NODE;
    while (t.nodeShift[node] > 0 && t.nodeCount[node] > 0) {
      const place = placeOf(node, (index >>> t.nodeShift[node]) & (FANOUT - 1));
      const below = slotsOf(t, node)[place];
      if (below === NONE) break;
      above = node;
      at = place;
      node = below;
    }
    if (t.nodeCount[node] > 0) break;
    if (above === NONE) {
      sync.store(t.words, headWord, NONE);
      freeNode(t, node);
      return;
    }
    slotsOf(t, above)[at] = NONE;
    t.nodeCount[above]--;
    freeNode(t, node);
  }
  shrink(t, headWord);
}

/** xas_shrink: while the root has only slot 0 in use, that slot takes the root's place. */
function shrink(t: Trees, headWord: number): void {
  for (;;) {
    const head = t.words[headWord];
    if ((head & NODE) === 0) return;
    const root = head & ~NODE;
    const only = slotsOf(t, root)[placeOf(root, 0)];
    if (t.nodeCount[root] !== 1 || only === NONE) return;
    sync.store(t.words, headWord, t.nodeShift[root] === 0 ? only : only | NODE);
    sync.store(slotsOf(t, root), placeOf(root, 0), RETRY);
    freeNode(t, root);
  }
}
