// The shape of a tree: the lone entry in the head, what shrinking leaves behind, and what an untouched export costs.
import t from 'tap';
import { createShared } from '#src/pool/shared.js';
import { createTrees, erase, exchange, get, isEmpty, NO_MEMORY, nodesInUse, RETRY, treeOf } from '#src/pool/tree.js';
import { MIB, newZswap, poolSettings, put } from '../support/pool.ts';

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
  t.equal(trees.nodeSlots[node * 64], RETRY);
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
