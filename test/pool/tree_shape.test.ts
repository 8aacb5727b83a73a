// The shape of a tree: the lone entry in the head, what shrinking leaves behind, and what an untouched export costs.
import t from 'tap';
import { findBit, testBit } from '#src/pool/bits.js';
import { TREE_PAGES } from '#src/pool/limits.js';
import { PART_NODES, placeOf, slotsOf } from '#src/pool/nodes.js';
import { createShared } from '#src/pool/shared.js';
import {
  createTrees,
  erase,
  exchange,
  get,
  isEmpty,
  NO_MEMORY,
  nodesFor,
  nodesInUse,
  RETRY,
  treeOf,
} from '#src/pool/tree.js';
import { eachEntry, isCurrent, walk } from '#src/pool/tree_walk.js';
import { MIB, newZswap, poolSettings, put, take } from '../support/pool.ts';

const NODE = 0x40000000;
const head = (trees: ReturnType<typeof createTrees>) => trees.words[1];

t.test('a lone entry at index 0 takes no node', async (t) => {
  const trees = createTrees([1000], 8);
  t.equal(exchange(trees, 0, 0, 7), 0);
  t.equal(head(trees), 7);
  t.equal(nodesInUse(trees), 0);
});

t.test('losing the last sibling moves the entry into the head and marks the dead node', async (t) => {
  const trees = createTrees([1000], 8);
  exchange(trees, 0, 0, 7);
  exchange(trees, 0, 5, 8);
  const node = head(trees) & ~NODE;
  t.equal(erase(trees, 0, 5), 8);
  t.equal(head(trees), 7);
  t.equal(slotsOf(trees, node)[placeOf(node, 0)], RETRY);
  t.equal(trees.nodeDead[node], 1);
  t.equal(get(trees, 0, 0), 7);
  exchange(trees, 0, 6, 9);
  t.equal(trees.nodeDead[head(trees) & ~NODE], 0, 'a node that is used again is not dead');
});

t.test('a deep tree shrinks through all its levels at once', async (t) => {
  const trees = createTrees([16_384], 8);
  exchange(trees, 0, 0, 7);
  exchange(trees, 0, 16_383, 8);
  t.equal(nodesInUse(trees), 5, 'a root, and two nodes on either side');
  erase(trees, 0, 16_383);
  t.equal(head(trees), 7);
  t.equal(nodesInUse(trees), 0);
});

t.test('a lone entry at another index stays in its leaf', async (t) => {
  const trees = createTrees([1000], 8);
  exchange(trees, 0, 0, 7);
  exchange(trees, 0, 5, 8);
  erase(trees, 0, 0);
  t.equal(nodesInUse(trees), 1);
  t.equal(get(trees, 0, 5), 8);
});

t.test('without a node the old head stays', async (t) => {
  const trees = createTrees([16_384], 3);
  exchange(trees, 0, 0, 7);
  t.equal(exchange(trees, 0, 16_383, 8), NO_MEMORY);
  t.equal(head(trees), 7);
  t.equal(nodesInUse(trees), 0);
  t.equal(exchange(trees, 0, 63, 8), 0, 'one leaf can be had');
});

t.test('the first slots of two exports are in trees of their own', async (t) => {
  const trees = createTrees([100, 100], 8);
  exchange(trees, treeOf(trees, 0, 0), 0, 7);
  t.ok(isEmpty(trees, treeOf(trees, 1, 0)));
  t.equal(get(trees, treeOf(trees, 1, 0), 0), 0);
});

/** The word of the node table's control that says how many nodes were ever used. */
const HIGH_WATER = 2;

t.test('a tree whose nodes lie on both sides of the edge between two parts', async (t) => {
  const trees = createTrees([65_536], PART_NODES + 64);
  trees.control[HIGH_WATER] = PART_NODES - 3;
  const slots = [0, 1, 63, 64, 4095, 4096, 16_383, 16_384, 65_535];
  for (const slot of slots) t.equal(exchange(trees, treeOf(trees, 0, slot), slot, slot + 1), 0);
  t.ok(trees.nodeSlots.length === 2 && trees.control[HIGH_WATER] > PART_NODES + 1, 'both parts are in use');
  const seen: number[] = [];
  for (let tree = 0; tree < trees.base[1]; tree++) eachEntry(trees, tree, (_, e) => seen.push(e - 1));
  t.same(seen, slots);
  const place = { node: 0, at: 0, e: 0 };
  for (const slot of slots) {
    const tree = treeOf(trees, 0, slot);
    t.equal(get(trees, tree, slot), slot + 1);
    walk(trees, tree, slot, place);
    t.ok(place.e === slot + 1 && isCurrent(trees, tree, place), `a lockless walk finds ${slot}`);
    t.equal(erase(trees, tree, slot), slot + 1);
  }
  t.equal(nodesInUse(trees), 0);
  t.equal(exchange(trees, 0, 4096, 7), 0, 'freed nodes are found again');
  t.equal(get(trees, 0, 4096), 7);
});

t.test('nodes last for every entry, however far apart the slots are', async (t) => {
  for (const absolute of [false, true]) {
    const pages = [TREE_PAGES * 40, TREE_PAGES * 40];
    const trees = createTrees(pages, nodesFor(pages, 70, absolute), { absolute });
    for (let e = 1; e <= 70; e++) {
      const [x, slot] = [e & 1, (e >> 1) * TREE_PAGES + TREE_PAGES - 1];
      t.equal(exchange(trees, treeOf(trees, x, slot), slot, e), 0);
    }
  }
});

t.test('the largest exports and pools find room, and their last slot a node', async (t) => {
  const big = { pages: 2 ** 31, memcg: 0 };
  for (const [poolBytes, count] of [
    [8 * 2 ** 30, 1],
    [8 * 2 ** 30, 4],
    [128 * 2 ** 30, 4],
    [MIB, 4],
  ]) {
    const exports = Array.from({ length: count }, (_, x) => ({ ...big, name: `e${x}` }));
    const zswap = newZswap({ exports, poolBytes, acceptBytes: poolBytes, checksums: true, rawOnReject: false });
    const x = count - 1;
    for (const slot of [0, 2 ** 31 - 1]) put(zswap, slot, new Uint8Array(4096).fill(3), x);
    t.same(take(zswap, 2 ** 31 - 1, x).page, new Uint8Array(4096).fill(3));
    t.ok(testBit(zswap.shared.users, x, 2 ** 31 - 1));
    t.equal(findBit(zswap.shared.users, x, 2 ** 31 - 40, 2 ** 31, true), 2 ** 31 - 1);
    t.equal(nodesInUse(zswap.trees), 3);
  }
});

t.test('an export of 8 TiB costs what it stores', async (t) => {
  const pages = 2 ** 31;
  const before = process.memoryUsage().rss;
  const exports = [{ name: 'big', pages, memcg: 0 }];
  const shared = createShared(poolSettings({ exports, poolBytes: 64 * MIB }));
  const grown = (process.memoryUsage().rss - before) / MIB;
  t.ok(grown < 48, `${grown.toFixed(1)} MiB resident`);
  t.equal(nodesInUse(shared.trees), 0);
  const zswap = newZswap({ exports });
  put(zswap, pages - 1, new Uint8Array(4096).fill(3));
  t.equal(nodesInUse(zswap.trees), 3);
});
