// What the heuristics keep from the background shrinker, by the formulas of mm/zswap.c.
import t from 'tap';
import { countShrinkable, noteSwapins, reachesProtected } from '#src/pool/held_back.js';
import * as lru from '#src/pool/lru.js';
import { currentOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { makePage, newZswap, put, type TestZswap } from '../support/pool.ts';

const M = 1;
const pool = { bytes: 0, pages: 0 };
const heldBack = (z: TestZswap): number => z.lru.heldBack[M];

function fill(z: TestZswap, pages: number, kind: 'text' | 'random' = 'random'): void {
  for (let slot = 0; slot < pages; slot++) put(z, slot, makePage(kind, slot));
}

t.test('protected: an entry that is added protects one, and more than a quarter of the list is halved', async (t) => {
  const z = newZswap({ heuristic: 'protected' });
  let expected = 0;
  for (let slot = 0; slot < 100; slot++) {
    put(z, slot, makePage('random', slot));
    expected++;
    if (expected > Math.floor((slot + 1) / 4)) expected = Math.floor(expected / 2);
    t.equal(heldBack(z), expected, `after ${slot + 1} pages`);
  }
  t.ok(expected > 10 && expected <= 25);
});

t.test('protected: an entry that is put back protects one more, and is not halved', async (t) => {
  const z = newZswap({ heuristic: 'protected' });
  fill(z, 1);
  const e = z.lru.head[M];
  for (let i = 1; i <= 3; i++) {
    t.ok(lru.isolateIfLinked(z.lru, z.entries, e));
    lru.putback(z.lru, z.entries, e);
    t.equal(heldBack(z), i);
  }
});

t.test(
  'what comes from the image protects the memcg that the export is in, or its parent once that is gone',
  async (t) => {
    const z = newZswap({
      heuristic: 'protected',
      memcgs: [{ name: 'a/b', max: Number.POSITIVE_INFINITY, writeback: true }],
    });
    const tree = new MemcgTree(z.shared, 0);
    const [a, b] = [tree.lookup('a'), tree.lookup('a/b')];
    put(z, 1, makePage('random', 1));
    noteSwapins(z.lru, b, 5);
    t.equal(z.lru.heldBack[b], 5);
    tree.attach(0, 'a');
    tree.offline('a/b');
    t.equal(z.lru.heldBack[b], 0, 'a new memcg in this row begins without');
    noteSwapins(z.lru, b, 3);
    t.equal(z.lru.heldBack[a], 3);
  },
);

t.test('the count is that of pages that are had: entries by how they compress', async (t) => {
  const z = newZswap({ heuristic: 'none' });
  fill(z, 90, 'text');
  const bytes = currentOf(z.memcgs, M);
  t.ok(bytes > 4096 && bytes < 90 * 4096 * 0.8, `${bytes}`);
  t.equal(countShrinkable(z.lru, M, 'none', pool), Math.floor(bytes / 4096));
  t.equal(countShrinkable(z.lru, 0, 'none', pool), 0, 'the root has none, and nothing is divided by zero');
});

t.test('protected: what is protected is not counted, and stays so', async (t) => {
  const z = newZswap({ heuristic: 'protected' });
  fill(z, 100);
  const held = heldBack(z);
  for (let i = 0; i < 2; i++) t.equal(countShrinkable(z.lru, M, 'protected', pool), 100 - held);
  noteSwapins(z.lru, M, 1000);
  t.equal(countShrinkable(z.lru, M, 'protected', pool), 0);
});

t.test('protected: a scan that would reach what is protected is refused', async (t) => {
  const z = newZswap({ heuristic: 'protected' });
  fill(z, 100);
  const free = 100 - heldBack(z);
  t.notOk(reachesProtected(z.lru, M, 'protected', free - 1));
  t.ok(reachesProtected(z.lru, M, 'protected', free));
  t.notOk(reachesProtected(z.lru, M, 'second-chance', 1000), 'the others protect nothing');
});

t.test('second-chance: each page that came back is taken from one count', async (t) => {
  const z = newZswap({ heuristic: 'second-chance' });
  fill(z, 100);
  t.equal(heldBack(z), 0, 'what is added protects nothing');
  noteSwapins(z.lru, M, 130);
  t.equal(countShrinkable(z.lru, M, 'second-chance', pool), 0);
  t.equal(heldBack(z), 30, 'what was more than the list stays');
  t.equal(countShrinkable(z.lru, M, 'second-chance', pool), 70);
  t.equal(countShrinkable(z.lru, M, 'second-chance', pool), 100);
});
