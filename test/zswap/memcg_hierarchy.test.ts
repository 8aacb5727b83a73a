// Limits and writeback of memcgs below memcgs: a limit holds for all below it, and who meets it gives of his own pages.
import t, { type Test } from 'tap';
import { THREAD_MAIN } from '#src/pool/limits.js';
import { CELL, countOf, currentOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { checkLists, MIB, makePage } from '../support/pool.ts';
import { ShrinkerBench, type Write } from '../support/shrinker_bench.ts';

const PAGE = 4096;
const LIMIT = MIB / 4;
const FREE = { max: Number.POSITIVE_INFINITY, writeback: true };

interface Hierarchy {
  readonly b: ShrinkerBench;
  readonly tree: MemcgTree;
  readonly current: (path: string) => number;
  /** Pages of a memcg and what is below it that were written back. */
  readonly written: (path: string) => number;
  /** Writes `count` pages of export `x` from slot `first` on. */
  readonly write: (x: number, first: number, count: number) => Write[];
}

/** Two exports in `p/a/a` and `p/b/b`; over: settings of memcgs. */
function hierarchy(t: Test, over: Record<string, { max?: number; writeback?: boolean }>): Hierarchy {
  const homes = ['p/a/a', 'p/b/b'];
  const paths = [...new Set([...homes, ...Object.keys(over)])];
  const b = new ShrinkerBench(t, {
    buffers: 512,
    rawOnReject: false,
    memcgs: paths.map((name) => ({ name, ...FREE, ...over[name] })),
    exports: homes.map((name, x) => ({ name, pages: 2048, memcg: x })),
  });
  const tree = new MemcgTree(b.shared, THREAD_MAIN);
  const current = (path: string): number => currentOf(b.shared.memcgs, tree.lookup(path));
  const write = (x: number, first: number, count: number): Write[] =>
    Array.from({ length: count }, (_, i) => b.write(first + i, makePage('random', first + i), x, i % 2));
  const written = (path: string): number => countOf(b.shared.memcgs, tree.lookup(path), CELL.ZSWPWB);
  return { b, tree, current, written, write };
}

const reservations = ({ b }: Hierarchy): number => b.shared.memcgs.reserved.reduce((a, c) => a + c, 0);
const answers = (writes: readonly Write[]): string => [...new Set(writes.map(({ errno }) => errno))].join();

t.test("a parent's limit holds for its children, however many stores wait at once", async (t) => {
  const h = hierarchy(t, { p: { max: LIMIT } });
  const { b, current, write } = h;
  write(0, 1000, LIMIT / PAGE / 2);
  write(1, 1000, LIMIT / PAGE / 2);
  t.equal(current('p'), LIMIT);
  const writes = [...write(0, 0, 200), ...write(1, 0, 200)];
  let most = 0;
  b.finish(writes, () => {
    most = Math.max(most, current('p'));
  });
  t.equal(answers(writes), '0');
  t.ok(most <= LIMIT + PAGE, `${most} bytes were charged, at most ${LIMIT + PAGE}`);
  t.ok(h.written('p/a') > 0 && h.written('p/b') > 0);
  t.equal(current('p'), current('p/a') + current('p/b'));
  t.equal(reservations(h), 0);
  checkLists(b.shared);
});

t.test("at a parent's limit the owner is shrunk, and nobody beside it", async (t) => {
  const { b, current, write, written } = hierarchy(t, { p: { max: LIMIT } });
  write(0, 1000, LIMIT / PAGE / 2);
  write(1, 1000, LIMIT / PAGE / 2);
  const writes = write(0, 0, 20);
  b.finish(writes);
  t.equal(answers(writes), '0');
  t.equal(current('p/b'), LIMIT / 2, 'the other one has its pages');
  t.ok(written('p/a') > 0);
  t.equal(written('p/b'), 0);
  t.equal(b.count('reject_memcg_limit'), 0);
});

t.test("an owner without pages at a parent's limit is rejected, whoever has the pages", async (t) => {
  const { b, current, write } = hierarchy(t, { p: { max: LIMIT } });
  write(1, 1000, LIMIT / PAGE);
  const writes = write(0, 0, 3);
  b.finish(writes);
  t.equal(answers(writes), '0', 'the image has them');
  t.equal(b.count('reject_memcg_limit'), 3);
  t.strictSame([current('p/a'), current('p/b')], [0, LIMIT]);
});

t.test('a limit of 0 anywhere on the path refuses at once, and nobody is shrunk', async (t) => {
  const { b, tree, current, write } = hierarchy(t, {});
  write(0, 1000, 10);
  tree.setMax('p/a', 0);
  const writes = write(0, 0, 5);
  b.finish(writes);
  t.strictSame([answers(writes), b.count('reject_memcg_limit'), b.count('written_back_pages')], ['0', 5, 0]);
  t.equal(current('p/a'), 10 * PAGE);
  b.finish(write(1, 0, 5));
  t.equal(current('p/b'), 5 * PAGE, 'the other one stores');
});

t.test('writeback off in a parent: what is below is not shrunk, and a rejected page fails', async (t) => {
  const { b, current, write } = hierarchy(t, { p: { max: LIMIT }, 'p/a': { writeback: false } });
  write(0, 1000, LIMIT / PAGE / 2);
  write(1, 1000, LIMIT / PAGE / 2);
  const kept = write(0, 0, 5);
  b.finish(kept);
  t.equal(answers(kept), '28', 'ENOSPC');
  t.equal(b.count('written_back_pages'), 0);
  const other = write(1, 0, 5);
  b.finish(other);
  t.equal(answers(other), '0');
  t.ok(b.count('written_back_pages') > 0, 'its sibling writes back');
  t.equal(current('p/a'), LIMIT / 2);
});

t.test('limits that move while stores wait: what is above a new one stays until it leaves for stores', async (t) => {
  const h = hierarchy(t, { p: { max: LIMIT } });
  const { b, tree, current, write } = h;
  write(0, 1000, LIMIT / PAGE);
  const first = write(0, 0, 50);
  tree.setMax('p', LIMIT / 2);
  let most = 0;
  b.finish(first, () => {
    most = Math.max(most, current('p'));
  });
  t.ok(most <= LIMIT + PAGE);
  const second = write(0, 100, 50);
  tree.setMax('p', Number.POSITIVE_INFINITY);
  b.finish(second);
  t.equal(answers([...first, ...second]), '0');
  t.equal(reservations(h), 0, 'what was reserved under one limit is given back under another');
  const third = write(0, 200, 50);
  t.equal(answers(third), '0', 'without a limit nothing waits');
  tree.setMax('p', 1);
  const rejected = b.count('reject_memcg_limit');
  const fourth = write(0, 300, 5);
  tree.setMax('p/a/a', 0);
  b.finish(fourth);
  t.equal(b.count('reject_memcg_limit') - rejected, 5, 'a store that waits when the limit becomes 0 is refused');
  t.equal(reservations(h), 0);
});

t.test(
  'a memcg goes offline while stores of it wait at its limit: they go on, and its pages are the parent’s',
  async (t) => {
    const h = hierarchy(t, { 'p/a/a': { max: LIMIT } });
    const { b, tree, current, write } = h;
    write(0, 1000, LIMIT / PAGE);
    const writes = write(0, 0, 30);
    const m = tree.lookup('p/a/a');
    tree.attach(0, 'p/a');
    tree.offline('p/a/a');
    b.finish(writes);
    t.equal(answers(writes), '0');
    t.equal(reservations(h), 0);
    t.equal(b.shared.lru.count[m], 0);
    t.equal(b.shared.lru.charged[tree.lookup('p/a')], current('p/a'));
    checkLists(b.shared);
    b.finish(write(0, 500, 5));
    for (const one of [1000, 0, 500]) for (let i = 0; i < 100; i++) b.z.invalidate(0, one + i);
    tree.reap();
    t.equal(tree.offlineRows, 0);
  },
);

t.test('the worker takes from every memcg in turn, and from the pages that came from one that is gone', async (t) => {
  const { b, tree, write, written } = hierarchy(t, {});
  write(0, 0, 40);
  write(1, 0, 40);
  tree.attach(0, 'p');
  tree.offline('p/a/a');
  tree.offline('p/a');
  for (let x = 900; b.count('reject_pool_limit') === 0; x++) b.write(x, makePage('random', x), 1);
  for (let i = 0; i < 50; i++) {
    b.look();
    for (const image of b.images) image.endAll();
  }
  t.ok(written('p/b/b') > 0);
  t.ok(written('p') > written('p/b/b'), 'pages of the one that is gone count for those above it');
  checkLists(b.shared);
});
