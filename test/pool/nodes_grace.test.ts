// Tree nodes where trees are walked without their lock: a freed node is used again only when no walk can know it any more.
import t from 'tap';
import { NONE } from '#src/pool/entries.js';
import { allocNode, createNodes, FANOUT, freeNode, nodesInUse } from '#src/pool/nodes.js';
import {
  createTrees,
  erase,
  exchange,
  freeTree,
  get,
  isFreed,
  lifeOf,
  lockTree,
  lockTreeAt,
  NO_MEMORY,
  refsOf,
  reviveTree,
  treeOf,
  unlockTree,
} from '#src/pool/tree.js';
import { clearAt, eachEntry, isCurrent, type Place, walk } from '#src/pool/tree_walk.js';
import * as rcu from '#src/shm/rcu.js';
import { passing } from '../support/facade.ts';

const words = (length: number) => new Int32Array(new SharedArrayBuffer(4 * length));

t.test('a node that was taken is empty, of its shift, and alive', async (t) => {
  const nodes = createNodes(4, null);
  const first = allocNode(nodes, 6);
  nodes.nodeSlots.fill(9, first * FANOUT, (first + 1) * FANOUT);
  nodes.nodeCount[first] = 64;
  freeNode(nodes, first);
  t.equal(nodes.nodeDead[first], 1);
  t.equal(allocNode(nodes, 12), first, 'without walks it is there at once');
  t.strictSame([nodes.nodeShift[first], nodes.nodeCount[first], nodes.nodeDead[first]], [12, 0, 0]);
  t.ok(nodes.nodeSlots.subarray(first * FANOUT, (first + 1) * FANOUT).every((slot) => slot === NONE));
});

t.test('each node of the table but 0 can be had, and no more', async (t) => {
  const nodes = createNodes(4, null);
  t.strictSame(
    [0, 0, 0, 0].map((shift) => allocNode(nodes, shift)),
    [1, 2, 3, NONE],
  );
  t.equal(nodesInUse(nodes), 3);
});

t.test('freed nodes wait for the walks that ran when they were collected, batch by batch', async (t) => {
  const readers = words(3);
  const nodes = createNodes(3, readers);
  const [a, b] = [allocNode(nodes, 0), allocNode(nodes, 0)];
  rcu.enter(readers, 1);
  freeNode(nodes, a);
  t.equal(allocNode(nodes, 0), NONE, 'the walk may stand on it');
  freeNode(nodes, b);
  t.equal(allocNode(nodes, 0), NONE);
  rcu.enter(readers, 2);
  rcu.exit(readers, 1);
  t.equal(allocNode(nodes, 0), a, 'the walk that began later can’t know it');
  t.equal(allocNode(nodes, 0), NONE, 'but it may know the one that was freed after it began');
  rcu.exit(readers, 2);
  t.equal(allocNode(nodes, 0), b);
  t.equal(allocNode(nodes, 0), NONE, 'each is handed out once');
  t.equal(nodesInUse(nodes), 2);
});

t.test('many nodes of one batch are all there again', async (t) => {
  const readers = words(2);
  const nodes = createNodes(6, readers);
  const all = [1, 2, 3, 4, 5].map(() => allocNode(nodes, 0));
  for (let round = 0; round < 3; round++) {
    for (const node of all) freeNode(nodes, node);
    t.strictSame(new Set(all.map(() => allocNode(nodes, 0))), new Set(all));
    t.equal(allocNode(nodes, 0), NONE);
  }
});

const place = (): Place => ({ node: 0, at: 0, e: NONE });

t.test('a walk finds what get finds, in the head, in a leaf, two levels down, and nowhere', async (t) => {
  const trees = createTrees([16_384], 16, { readers: words(2) });
  const found = place();
  const both = (slot: number): number => {
    walk(trees, 0, slot, found);
    t.equal(found.e, get(trees, 0, slot), `slot ${slot}`);
    if (found.e !== NONE) t.ok(isCurrent(trees, 0, found));
    return found.e;
  };
  t.equal(both(0), NONE);
  exchange(trees, 0, 0, 7);
  t.strictSame([both(0), both(1), both(64)], [7, NONE, NONE]);
  exchange(trees, 0, 63, 8);
  t.strictSame([both(0), both(63), both(62), both(64)], [7, 8, NONE, NONE]);
  exchange(trees, 0, 16_383, 9);
  t.strictSame([both(0), both(63), both(16_383), both(16_382), both(4096)], [7, 8, 9, NONE, NONE]);
});

t.test('a walk that meets a node which died under it starts again', async (t) => {
  const trees = createTrees([1000], 16, { readers: words(2) });
  exchange(trees, 0, 0, 7);
  exchange(trees, 0, 5, 8);
  const found = place();
  // 1. the walk reads the head   2. the sibling goes, the lone entry moves into the head   3. the walk reads the dead node
  let looks = 0;
  passing(
    () => walk(trees, 0, 0, found),
    ({ words: read }) => read === trees.nodeSlots && looks++ === 0 && erase(trees, 0, 5),
  );
  t.strictSame(found, { node: 0, at: 0, e: 7 });
  t.ok(isCurrent(trees, 0, found));
});

t.test('a place is stale once its entry was replaced, taken out, or moved with its node', async (t) => {
  const trees = createTrees([1000], 16, { readers: words(2) });
  exchange(trees, 0, 0, 7);
  const head = place();
  walk(trees, 0, 0, head);
  exchange(trees, 0, 5, 8);
  t.notOk(isCurrent(trees, 0, head), 'the lone entry moved into a leaf');
  const [first, other] = [place(), place()];
  walk(trees, 0, 0, first);
  walk(trees, 0, 5, other);
  t.ok(isCurrent(trees, 0, first) && isCurrent(trees, 0, other));
  exchange(trees, 0, 5, 9);
  t.notOk(isCurrent(trees, 0, other));
  erase(trees, 0, 5);
  t.notOk(isCurrent(trees, 0, first), 'back in the head');
  walk(trees, 0, 0, head);
  t.ok(isCurrent(trees, 0, head));
  clearAt(trees, 0, 0, head);
  t.equal(get(trees, 0, 0), NONE);
});

t.test('a dead node is not current, whatever still stands in it', async (t) => {
  const trees = createTrees([1000], 16, { readers: words(2) });
  exchange(trees, 0, 0, 7);
  exchange(trees, 0, 5, 8);
  const found = place();
  walk(trees, 0, 5, found);
  // As a writer with a stale place would leave it: the node was freed with the entry in it.
  trees.nodeDead[found.node] = 1;
  t.notOk(isCurrent(trees, 0, found));
});

t.test('what is cleared through a place leaves no node behind', async (t) => {
  const trees = createTrees([16_384], 16, { readers: words(2) });
  for (const slot of [5, 70, 16_383]) exchange(trees, 0, slot, slot);
  const found = place();
  for (const slot of [70, 16_383, 5]) {
    walk(trees, 0, slot, found);
    clearAt(trees, 0, slot, found);
    t.equal(get(trees, 0, slot), NONE);
  }
  t.equal(nodesInUse(trees), 0);
});

t.test('each entry is visited once, in order, with its index', async (t) => {
  const trees = createTrees([16_384, 100], 32);
  const seen = (tree: number): [number, number][] => {
    const list: [number, number][] = [];
    eachEntry(trees, tree, (index, e) => list.push([index, e]));
    return list;
  };
  t.strictSame(seen(0), []);
  exchange(trees, 0, 0, 1);
  t.strictSame(seen(0), [[0, 1]]);
  for (const slot of [16_383, 64, 63, 4096]) exchange(trees, 0, slot, slot);
  t.strictSame(
    seen(0),
    [0, 63, 64, 4096, 16_383].map((slot) => [slot, slot === 0 ? 1 : slot]),
  );
  t.strictSame(seen(1), []);
});

t.test('a freed tree, and one that was freed since, is reported to whoever locks it', async (t) => {
  const trees = createTrees([100], 4);
  const life = lifeOf(trees, 0);
  lockTreeAt(trees, 0, life);
  unlockTree(trees, 0);
  trees.words[refsOf(0)] = 5;
  freeTree(trees, 0);
  t.ok(isFreed(trees, 0));
  t.throws(() => lockTree(trees, 0), /use after free: tree 0 .* locked/);
  trees.words[0] = 0;
  t.throws(() => lockTreeAt(trees, 0, life), /use after free/);
  trees.words[0] = 0;
  t.throws(() => lockTreeAt(trees, 0, lifeOf(trees, 0)), /use after free/, 'a pointer taken after it was freed');
  t.throws(() => unlockTree(trees, 0), /use after free: tree 0 .* unlocked/);
  trees.words[0] = 0;
  reviveTree(trees, 0);
  t.notOk(isFreed(trees, 0));
  t.equal(trees.words[refsOf(0)], 1, 'with its one reference, for being swapped on');
  t.equal(get(trees, 0, 0), NONE);
  t.throws(() => lockTreeAt(trees, 0, life), /use after free/, 'the new tree is not the old one');
  trees.words[0] = 0;
  lockTreeAt(trees, 0, lifeOf(trees, 0));
  unlockTree(trees, 0);
});

t.test('a tree that is freed with an entry in it is a leak', async (t) => {
  const trees = createTrees([100], 4);
  exchange(trees, 0, 0, 7);
  t.throws(() => freeTree(trees, 0), /leak: tree 0/);
});

t.test('a lookup beyond what the root covers finds nothing, at each edge of a level', async (t) => {
  for (const covered of [0, 63, 4095]) {
    const trees = createTrees([16_384], 16);
    exchange(trees, 0, 1, 5);
    exchange(trees, 0, covered, 6);
    const found = place();
    for (const beyond of [covered + 1, covered + 64, 16_383].filter((slot) => slot !== 1)) {
      t.equal(get(trees, 0, beyond), NONE, `${beyond} with a root up to ${covered}`);
      walk(trees, 0, beyond, found);
      t.equal(found.e, NONE);
      t.equal(erase(trees, 0, beyond), NONE);
    }
  }
});

t.test('the trees of exports stand side by side, the last of each also where it is not full', async (t) => {
  const trees = createTrees([16_384, 16_385, 1], 16);
  t.strictSame([...trees.base], [0, 1, 3, 4]);
  t.strictSame(
    [treeOf(trees, 0, 16_383), treeOf(trees, 1, 16_383), treeOf(trees, 1, 16_384), treeOf(trees, 2, 0)],
    [0, 1, 2, 3],
  );
  t.equal(exchange(trees, 2, 16_384, 9), NONE);
  t.equal(trees.words[2 * 4 + 1], 9, 'the first slot of a tree has index 0, wherever the tree is');
});

t.test('an index beyond the nodes there are is refused and changes nothing', async (t) => {
  const trees = createTrees([16_384], 3);
  t.equal(exchange(trees, 0, 70, 5), NONE);
  t.equal(exchange(trees, 0, 5000, 6), NO_MEMORY);
  t.strictSame([get(trees, 0, 70), get(trees, 0, 5000)], [5, NONE]);
});
