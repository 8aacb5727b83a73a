// Who gives pages when the pool is full: fixed takes from each memcg in turn, legacy starves some, as kernels to 6.11 did.

import type { Test } from 'tap';
import t from 'tap';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import type { CursorKind } from '#src/pool/policies.js';
import { CTL, WORK } from '#src/pool/shared.js';
import { checkLists, MIB, makePage } from '../support/pool.ts';
import { ShrinkerBench } from '../support/shrinker_bench.ts';

const PAGES = 200;
const NAMES = ['first', 'second', 'third'];

/** Three memcgs with pages each, which `change` is done to, and looks until the worker rests, or 20 of them. */
function gave(t: Test, cursor: CursorKind, change: (tree: MemcgTree) => void): { gave: number[]; rests: boolean } {
  const exports = NAMES.map((name, x) => ({ name, pages: 4096, memcg: x }));
  const memcgs = NAMES.map((name) => ({ name, max: Number.MAX_SAFE_INTEGER, writeback: true }));
  // A threshold that nothing gets below: the worker goes on while it can.
  const b = new ShrinkerBench(t, { exports, memcgs, buffers: 4096, batch: 8, cursor, acceptBytes: MIB / 1024 });
  for (let slot = 0; slot < PAGES; slot++)
    for (const x of exports.keys()) b.write(slot, makePage('random', slot * 3 + x), x);
  const tree = new MemcgTree(b.shared, 0);
  change(tree);
  const before = NAMES.map((_, i) => b.shared.lru.count[i + 1]);
  b.shared.control[CTL.WORK] = WORK.POOL;
  for (let i = 0; i < 6; i++) b.shrinker.look();
  checkLists(b.shared);
  const rests = b.shared.control[CTL.WORK] === 0;
  return { gave: before.map((count, i) => count - b.shared.lru.count[i + 1]), rests };
}

/** The second one goes, and leaves its pages to the root and its row to them. */
function offline(tree: MemcgTree): void {
  tree.attach(1, 'third');
  tree.offline('second');
}

t.test('fixed: an offline memcg keeps nobody from their turn', async (t) => {
  const { gave: pages, rests } = gave(t, 'fixed', offline);
  t.ok(pages[0] > 0 && Math.abs(pages[0] - pages[2]) <= 8, `${pages}`);
  t.notOk(rests);
});

t.test('legacy: those behind an offline memcg give nothing, while those before it give all', async (t) => {
  const { gave: pages } = gave(t, 'legacy', offline);
  t.ok(pages[0] > 0, `${pages}`);
  t.equal(pages[2], 0);
});

t.test('fixed: a memcg without writeback is passed by', async (t) => {
  const { gave: pages, rests } = gave(t, 'fixed', (tree) => tree.setWriteback('second', false));
  t.ok(pages[0] > 8 && Math.abs(pages[0] - pages[2]) <= 8, `${pages}`);
  t.equal(pages[1], 0);
  t.notOk(rests);
});

t.test('legacy: a memcg without writeback ends the run', async (t) => {
  const { gave: pages, rests } = gave(t, 'legacy', (tree) => tree.setWriteback('second', false));
  t.strictSame(pages, [8, 0, 0]);
  t.ok(rests);
});

t.test('legacy: where nothing is offline and all write back each gives the same, for 16 failures', async (t) => {
  const { gave: pages, rests } = gave(t, 'legacy', () => undefined);
  // The root, which has nothing, and the end of a round are one each: eight rounds of a batch of 8.
  t.strictSame(pages, [64, 64, 64]);
  t.ok(rests);
});

t.test('legacy: a memcg that has nothing is a failure, and with 16 of them nobody behind has a turn', async (t) => {
  const { gave: pages, rests } = gave(t, 'legacy', (tree) => {
    for (let i = 0; i < 16; i++) tree.create(`empty${i}`);
  });
  t.strictSame(pages, [8, 8, 8]);
  t.ok(rests);
});

t.test('legacy: a memcg without writeback ends the run, be it empty', async (t) => {
  const { gave: pages } = gave(t, 'legacy', (tree) => {
    tree.create('empty');
    tree.setWriteback('empty', false);
  });
  t.strictSame(pages, [8, 8, 8]);
});

t.test('legacy: a worker that only ever meets an offline memcg gives up', async (t) => {
  const exports = [{ name: 'a', pages: 64, memcg: 1 }];
  const memcgs = ['row', 'parent'].map((name) => ({ name, max: Number.MAX_SAFE_INTEGER, writeback: true }));
  const b = new ShrinkerBench(t, { exports, memcgs, cursor: 'legacy' });
  const tree = new MemcgTree(b.shared, 0);
  // A child in a row before its parent's: nothing before it can give anything.
  tree.offline('row');
  while (tree.offlineRows > 0) tree.reap();
  tree.create('parent/child');
  tree.attach(0, 'parent/child');
  b.write(1, makePage('random', 1));
  tree.attach(0, 'parent');
  tree.offline('parent/child');
  t.equal(tree.offlineRows, 1);
  b.shared.control[CTL.WORK] = WORK.POOL;
  b.shrinker.look();
  t.equal(b.shared.control[CTL.WORK], 0);
  t.equal(b.count('written_back_pages'), 0);
});
