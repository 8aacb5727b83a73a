// The first entry of a range of slots, and all of them, against a sorted list.
import fc from 'fast-check';
import t from 'tap';
import { createTrees, exchange, lockTree, treeOf, unlockTree } from '#src/pool/tree.js';
import { entriesIn, firstEntry } from '#src/pool/tree_walk.js';

const PAGES = 65_536;
const TREE = 16_384;
/** Mostly near the edges of leaves, and of the tree. */
const place = fc.oneof(fc.nat(TREE), fc.constantFrom(0, 1, 63, 64, 65, 4095, 4096, TREE - 1));

for (const absolute of [false, true]) {
  t.test(`what is stored in a range is found in order; absolute indices: ${absolute}`, async () => {
    const bounds = fc.tuple(place, place).map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
    fc.assert(
      fc.property(fc.uniqueArray(place, { maxLength: 12 }), bounds, fc.nat(3), (places, [from, to], number) => {
        const trees = createTrees([PAGES], 256, { absolute });
        const base = number * TREE;
        const tree = treeOf(trees, 0, base);
        const stored = places.filter((at) => at < TREE).map((at) => base + at);
        lockTree(trees, tree);
        stored.forEach((slot, i) => {
          exchange(trees, tree, slot, i + 1);
        });
        const expected = stored.filter((slot) => slot >= base + from && slot < base + to).sort((a, b) => a - b);
        const first = firstEntry(trees, tree, base + from, base + to);
        const into = new Uint32Array(TREE);
        const found = into.subarray(0, entriesIn(trees, tree, base + from, base + to, into));
        unlockTree(trees, tree);
        if (first !== (expected[0] ?? base + to)) throw new Error(`first ${first}, of ${expected}`);
        if (found.join() !== expected.join()) throw new Error(`found ${found}, not ${expected}`);
      }),
      { numRuns: 500 },
    );
  });
}
