// What the heuristics keep from the background shrinker, by the formulas of mm/zswap.c.
import t from 'tap';
import { countShrinkable, noteSwapins, reachesProtected } from '#src/pool/held_back.js';
import * as lru from '#src/pool/lru.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { createShared } from '#src/pool/shared.js';
import { chooseProtocols } from '#src/protocols/index.js';
import { PRESETS } from '#src/protocols/presets.js';
import { makePage, newZswap, poolSettings, put, TestZswap, take } from '../support/pool.ts';

const M = 1;
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

t.test('protected: under 6.8 a load takes the entry off and adds it again, which protects one more', async (t) => {
  const z = new TestZswap(createShared(poolSettings({ heuristic: 'protected' })), chooseProtocols(PRESETS['v6.8']), 2);
  fill(z, 100);
  for (const from of [0, 24]) {
    z.lru.heldBack[M] = from;
    take(z, 7);
    t.equal(heldBack(z), from + 1);
    t.equal(z.entries.slot[z.lru.tail[M]], 7);
  }
  put(z, 200, new Uint8Array(4096));
  take(z, 200);
  t.equal(heldBack(z), 25, 'but not one of a same-filled page, which is on no list');
  take(z, 8);
  t.equal(heldBack(z), 13, 'and more than a quarter of the list is halved');
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

t.test('the count is one of entries, however they compress', async (t) => {
  const z = newZswap({ heuristic: 'none' });
  fill(z, 90, 'text');
  t.equal(countShrinkable(z.lru, M, 'none'), 90);
  t.equal(countShrinkable(z.lru, 0, 'none'), 0);
});

t.test('protected: what is protected is not counted, and stays so', async (t) => {
  const z = newZswap({ heuristic: 'protected' });
  fill(z, 100);
  const held = heldBack(z);
  for (let i = 0; i < 2; i++) t.equal(countShrinkable(z.lru, M, 'protected'), 100 - held);
  noteSwapins(z.lru, M, 1000);
  t.equal(countShrinkable(z.lru, M, 'protected'), 0);
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
  t.equal(countShrinkable(z.lru, M, 'second-chance'), 0);
  t.equal(heldBack(z), 30, 'what was more than the list stays');
  t.equal(countShrinkable(z.lru, M, 'second-chance'), 70);
  t.equal(countShrinkable(z.lru, M, 'second-chance'), 100);
});
