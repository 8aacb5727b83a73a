// Trees against a Map: any order of exchanges and erases, at the edges of leaves, nodes and trees.
import fc from 'fast-check';
import t from 'tap';
import { NONE } from '#src/pool/entries.js';
import { createTrees, erase, exchange, get, isEmpty, NO_MEMORY, nodesInUse, treeOf } from '#src/pool/tree.js';

const EDGES = [0, 1, 63, 64, 127, 4095, 4096, 8191, 16_383, 16_384, 16_447, 20_480, 32_767];
const PAGES = [40_000, 20_000, 100];
const place = fc
  .record({ x: fc.nat(2), slot: fc.oneof(fc.constantFrom(...EDGES), fc.nat(39_999)) })
  .filter(({ x, slot }) => slot < PAGES[x]);
const command = fc.record({ put: fc.boolean(), at: place });

function model(commands: readonly { put: boolean; at: { x: number; slot: number } }[], nodes: number): number {
  const trees = createTrees(PAGES, nodes);
  const truth = new Map<string, number>();
  let refused = 0;
  commands.forEach(({ put, at: { x, slot } }, i) => {
    const key = `${x}:${slot}`;
    const tree = treeOf(trees, x, slot);
    const old = put ? exchange(trees, tree, slot, i + 1) : erase(trees, tree, slot);
    if (put && old === NO_MEMORY) refused++;
    else {
      if (old !== (truth.get(key) ?? NONE)) throw new Error(`${key} held ${old}, not ${truth.get(key)}`);
      if (put) truth.set(key, i + 1);
      else truth.delete(key);
    }
    check(trees, truth, x, slot);
  });
  for (const key of truth.keys()) {
    const [x, slot] = key.split(':').map(Number);
    if (erase(trees, treeOf(trees, x, slot), slot) !== truth.get(key)) throw new Error(`${key} is gone`);
  }
  if (nodesInUse(trees) !== 0) throw new Error(`${nodesInUse(trees)} nodes leaked`);
  for (let tree = 0; tree < trees.base[PAGES.length]; tree++) if (!isEmpty(trees, tree)) throw new Error('not empty');
  return refused;
}

/** The slot just used, and every edge of every export; only a bounded part, because it runs after each command. */
function check(
  trees: ReturnType<typeof createTrees>,
  truth: ReadonlyMap<string, number>,
  x: number,
  slot: number,
): void {
  const places = [{ x, slot }, ...EDGES.flatMap((edge) => [0, 1].map((other) => ({ x: other, slot: edge })))];
  for (const { x, slot } of places) {
    if (slot >= PAGES[x]) continue;
    const found = get(trees, treeOf(trees, x, slot), slot);
    if (found !== (truth.get(`${x}:${slot}`) ?? NONE)) throw new Error(`${x}:${slot} reads ${found}`);
  }
}

t.test('agree with a Map, do not mix exports, and leak no node', async () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
      if (model(commands, 4096) > 0) throw new Error('refused while nodes were free');
    }),
    { numRuns: 300 },
  );
});

t.test('a refused exchange leaves everything as it was', async (t) => {
  let refused = 0;
  fc.assert(
    fc.property(
      fc.array(command, { minLength: 20, maxLength: 200 }),
      fc.integer({ min: 2, max: 12 }),
      (commands, n) => {
        refused += model(commands, n);
      },
    ),
    { numRuns: 300 },
  );
  t.ok(refused > 0, 'nodes did run out');
});
