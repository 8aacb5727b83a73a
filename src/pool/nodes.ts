/**
 * The nodes of all trees: 64 words each, taken from one table and given back to it.
 *
 * Where an invalidate protocol walks trees without their lock, a freed node stays as it is until every walk that may have
 * met it is over: freed nodes collect in `limbo`, a batch of them waits with a note of the sections that ran then, and
 * only after those it is free. Nobody waits for that; while a batch is not ready, nodes come from the rest of the table.
 *
 * The words of the nodes are a wide column: an 8 TiB export has 2^25 leaves, and with the levels above them more words than
 * one buffer can hold. A node never crosses the edge of a part. A node's number, and a word's place in its part, fit an Int32.
 *
 * The table's lock is a leaf.
 */
import { int32, PART_SHIFT, uint8, wideInt32 } from '../shm/columns.ts';
import * as rcu from '../shm/rcu.ts';
import * as sync from '../shm/sync.ts';
import { NONE } from './entries.ts';
import { TREE_PAGES } from './limits.ts';

export const FANOUT = 64;
const FANOUT_SHIFT = 6;
const NODES_SHIFT = PART_SHIFT - FANOUT_SHIFT;
/** Nodes of one part of `nodeSlots`. */
export const PART_NODES = 1 << NODES_SHIFT;

export interface Nodes {
  /** Parts: slotsOf and placeOf say where a node's words are. */
  readonly nodeSlots: readonly Int32Array[];
  readonly nodeCount: Uint8Array;
  readonly nodeShift: Uint8Array;
  readonly nodeDead: Uint8Array;
  /** [lock, free list head, high-water mark, nodes in use, capacity, limbo, waiting batch, -, noted sections...] */
  readonly control: Int32Array;
  /** Read sections of the threads (rcu.ts) where walks are lockless, else null. */
  readonly readers: Int32Array | null;
}

const LOCK = 0;
const FREE_HEAD = 1;
const HIGH_WATER = 2;
const IN_USE = 3;
const CAPACITY = 4;
const LIMBO = 5;
const WAITING = 6;
const NOTED = 8;
/** Freed nodes are linked through their second word: the first may hold RETRY for walkers. */
const LINK = 1;

/** Number 0 is none; the rest covers freed nodes that lockless walks may still be looking at. */
const NODES_SPARE = 64;

/** Bytes of one node over all its columns. */
export const NODE_BYTES = FANOUT * 4 + 3;

export function createNodes(nodes: number, readers: Int32Array | null): Nodes {
  const control = int32(NOTED + (readers?.length ?? 0));
  control[HIGH_WATER] = 1;
  control[CAPACITY] = nodes;
  return {
    nodeSlots: wideInt32(nodes * FANOUT),
    nodeCount: uint8(nodes),
    nodeShift: uint8(nodes),
    nodeDead: uint8(nodes),
    control,
    readers,
  };
}

/**
 * Nodes enough for any `entries` places of exports of `pages` slots, so that a store never fails for want of one: on each
 * level no more than the exports have, nor than there are entries to be below them. Absolute indices have three levels more
 * above each tree, of one node each.
 */
export function nodesFor(pages: readonly number[], entries: number, absolute: boolean): number {
  const nodesOver = (slots: number): number =>
    Math.min(
      entries,
      pages.reduce((sum, count) => sum + Math.ceil(count / slots), 0),
    );
  const levels = nodesOver(FANOUT) + nodesOver(FANOUT ** 2) + nodesOver(TREE_PAGES) * (absolute ? 4 : 1);
  return levels + NODES_SPARE;
}

/** The part that holds the words of `node`. */
export function slotsOf(t: Nodes, node: number): Int32Array {
  return t.nodeSlots[node >>> NODES_SHIFT];
}

/** The place of word `i` of `node` in its part. */
export function placeOf(node: number, i: number): number {
  return ((node & (PART_NODES - 1)) << FANOUT_SHIFT) | i;
}

export function nodesInUse(t: Nodes): number {
  return sync.load(t.control, IN_USE);
}

/** An empty node, or NONE when none is to be had. */
export function allocNode(t: Nodes, shift: number): number {
  sync.lock(t.control, LOCK);
  if (t.control[FREE_HEAD] === NONE && t.readers !== null) recycle(t, t.readers);
  let node = t.control[FREE_HEAD];
  if (node !== NONE) t.control[FREE_HEAD] = slotsOf(t, node)[placeOf(node, LINK)];
  else if (t.control[HIGH_WATER] < t.control[CAPACITY]) node = t.control[HIGH_WATER]++;
  if (node !== NONE) t.control[IN_USE]++;
  sync.unlock(t.control, LOCK);
  if (node !== NONE) {
    slotsOf(t, node).fill(NONE, placeOf(node, 0), placeOf(node, 0) + FANOUT);
    t.nodeCount[node] = 0;
    t.nodeShift[node] = shift;
    t.nodeDead[node] = 0;
  }
  return node;
}

export function freeNode(t: Nodes, node: number): void {
  const list = t.readers === null ? FREE_HEAD : LIMBO;
  sync.lock(t.control, LOCK);
  t.nodeDead[node] = 1;
  slotsOf(t, node)[placeOf(node, LINK)] = t.control[list];
  t.control[list] = node;
  t.control[IN_USE]--;
  sync.unlock(t.control, LOCK);
}

/** Moves the waiting batch to the free list once no walk can know its nodes; then limbo becomes the next batch. */
function recycle(t: Nodes, readers: Int32Array): void {
  const { control } = t;
  if (control[WAITING] === NONE) {
    if (control[LIMBO] === NONE) return;
    control[WAITING] = control[LIMBO];
    control[LIMBO] = NONE;
    rcu.note(readers, control, NOTED);
  }
  if (!rcu.over(readers, control, NOTED)) return;
  control[FREE_HEAD] = control[WAITING];
  control[WAITING] = NONE;
}
