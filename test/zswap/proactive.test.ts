// memory.reclaim in the shrinker's thread: what it takes, when it ends, and that others have their turns beside it.
import t, { type Test } from 'tap';
import * as errno from '#src/os/errno.js';
import { THREAD_MAIN } from '#src/pool/limits.js';
import { CELL, countOf, currentOf } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { checkLists, makePage } from '../support/pool.ts';
import { type BenchOptions, ShrinkerBench } from '../support/shrinker_bench.ts';

const PAGE = 4096;
const FREE = { max: Number.POSITIVE_INFINITY, writeback: true };
const LONG_MS = 600_000;

interface Reclaims {
  readonly b: ShrinkerBench;
  readonly tree: MemcgTree;
  /** Asks for `pages` raw pages of a memcg. */
  readonly begin: (path: string, pages: number, ms?: number) => { readonly errno: number | null; end(): void };
  readonly left: (path: string) => number;
  readonly proactive: (path: string) => number;
}

/** Exports in `p/a/a`, `p/b` and `q`, each with `pages` raw pages. */
function bench(t: Test, pages: number, over: BenchOptions = {}): Reclaims {
  const homes = ['p/a/a', 'p/b', 'q'];
  const b = new ShrinkerBench(t, {
    buffers: 512,
    batch: 4,
    poolBytes: 2 ** 24,
    memcgs: homes.map((name) => ({ name, ...FREE })),
    exports: homes.map((name, x) => ({ name, pages: 2048, memcg: x })),
    ...over,
  });
  for (const x of homes.keys()) for (let i = 0; i < pages; i++) b.write(i, makePage('random', i), x);
  const tree = new MemcgTree(b.shared, THREAD_MAIN);
  const count = (path: string, column: number): number => countOf(b.shared.memcgs, tree.lookup(path), column);
  const begin: Reclaims['begin'] = (path, wanted, ms = LONG_MS) => {
    const asked = { errno: null as number | null, end: (): void => end() };
    const end = b.shrinker.proactive.begin(tree.lookup(path), wanted * PAGE, ms, (result) => {
      if (asked.errno !== null) throw new Error('answered twice');
      asked.errno = result;
    });
    return asked;
  };
  return {
    b,
    tree,
    begin,
    left: (path) => count(path, CELL.PAGES),
    proactive: (path) => count(path, CELL.PROACTIVE) / PAGE,
  };
}

/** Looks, and lets images finish, until `ready`. */
function until(b: ShrinkerBench, ready: () => boolean): void {
  for (let i = 0; !ready(); i++) {
    if (i === 10_000) throw new Error('it does not come');
    b.look();
    for (const image of b.images) image.endAll();
  }
}

t.test('a batch of each memcg of the subtree in turn, coldest first, and none beside it', async (t) => {
  const { b, begin, left, proactive } = bench(t, 40);
  const asked = begin('p', 24);
  t.equal(asked.errno, null, 'not answered by the call itself');
  until(b, () => asked.errno !== null);
  t.equal(asked.errno, 0);
  t.strictSame([left('p/a/a'), left('p/b'), left('q')], [28, 28, 40]);
  t.strictSame([proactive('p'), proactive('p/a'), proactive('p/b'), proactive('q')], [24, 12, 12, 0]);
  t.equal(b.count('zswpwb_proactive_b'), 24 * PAGE);
  checkLists(b.shared);
});

t.test('small requests one after the other take from every memcg', async (t) => {
  const { b, begin, left } = bench(t, 40);
  for (let i = 0; i < 6; i++) {
    const asked = begin('p', 1);
    until(b, () => asked.errno !== null);
    t.equal(asked.errno, 0);
  }
  t.ok(left('p/a/a') < 40 && left('p/b') < 40, `${left('p/a/a')} and ${left('p/b')} are left`);
});

t.test('EAGAIN when there is no more, at once where nothing may leave', async (t) => {
  const { b, tree, begin, left } = bench(t, 10);
  tree.setWriteback('p/b', false);
  const asked = begin('p', 100);
  until(b, () => asked.errno !== null);
  t.equal(asked.errno, errno.EAGAIN);
  t.strictSame([left('p/a/a'), left('p/b'), left('q')], [0, 10, 10]);
  const none = begin('p/b', 1);
  b.look();
  t.equal(none.errno, errno.EAGAIN);
});

t.test('pages whose slots are in use are tried a few rounds, and then it is EAGAIN', async (t) => {
  const { b, begin, left } = bench(t, 3);
  const pins = [0, 1, 2].map((slot) => b.z.slots.tryPin(0, slot));
  const asked = begin('p/a/a', 1);
  until(b, () => asked.errno !== null);
  t.equal(asked.errno, errno.EAGAIN);
  t.equal(left('p/a/a'), 3);
  t.ok(b.count('reject_reclaim_fail') >= 16);
  for (const r of pins) b.z.slots.unpin(r);
});

t.test('pages with their second chance are passed by once, and written back by the next round', async (t) => {
  const { b, begin } = bench(t, 40, { heuristic: 'second-chance' });
  const asked = begin('p', 20);
  until(b, () => asked.errno !== null);
  t.equal(asked.errno, 0);
});

t.test('a turn is bounded, and stores at their limit are answered between two', async (t) => {
  const h = bench(t, 300, { buffers: 2048 });
  const { b, tree, begin } = h;
  const asked = begin('p', 600);
  tree.setMax('q', 300 * PAGE);
  const write = b.write(1000, makePage('random', 1), 2);
  b.look();
  t.ok(h.proactive('p') <= 8 * 4, `${h.proactive('p')} pages in one turn`);
  t.equal(asked.errno, null);
  until(b, () => write.errno !== null);
  t.equal(asked.errno, null, 'the store was answered before');
  until(b, () => asked.errno !== null);
  t.equal(asked.errno, 0);
});

t.test('requests take turns: a small one does not wait for the end of a large one', async (t) => {
  const { b, begin } = bench(t, 300, { buffers: 2048 });
  const large = begin('p', 600);
  const small = begin('q', 8);
  until(b, () => small.errno !== null);
  t.equal(large.errno, null);
  until(b, () => large.errno !== null);
  t.strictSame([small.errno, large.errno], [0, 0]);
});

t.test('without buffers it rests, and goes on when an image has given one back', async (t) => {
  const { b, begin, proactive } = bench(t, 200, { buffers: 64 });
  const asked = begin('p', 300);
  for (let i = 0; i < 100; i++) b.shrinker.look();
  const before = proactive('p');
  t.equal(asked.errno, null, 'no failure, however often it is looked at');
  t.ok(before < 300);
  until(b, () => asked.errno !== null);
  t.equal(asked.errno, 0);
});

t.test('the deadline ends it, also while an image stands still', async (t) => {
  const { b, begin, proactive } = bench(t, 200, { buffers: 64 });
  const asked = begin('p', 300, 1);
  for (let i = 0; i < 100; i++) b.shrinker.look();
  while (asked.errno === null) await new Promise((resolve) => setImmediate(resolve));
  t.equal(asked.errno, errno.EAGAIN);
  const before = proactive('p');
  until(b, () => b.images.every((image) => image.calls.length === 0));
  t.equal(proactive('p'), before, 'no page leaves for it any more');
});

t.test('who goes away ends it, and is answered once', async (t) => {
  const { b, begin, proactive } = bench(t, 200, { buffers: 2048 });
  const asked = begin('p', 300);
  b.look();
  asked.end();
  t.equal(asked.errno, errno.EAGAIN);
  asked.end();
  const before = proactive('p');
  for (let i = 0; i < 20; i++) b.look();
  t.equal(proactive('p'), before);
});

t.test('a memcg of the subtree goes offline meanwhile: its pages are met at its parent', async (t) => {
  const { b, tree, begin, left } = bench(t, 100, { buffers: 2048 });
  const asked = begin('p', 200);
  b.look();
  tree.attach(0, 'p/a');
  tree.offline('p/a/a');
  until(b, () => asked.errno !== null);
  t.equal(asked.errno, 0);
  t.equal(left('p'), 0);
  checkLists(b.shared);
});

t.test('the memcg that was named goes offline meanwhile: what its parent has got stays', async (t) => {
  const { b, tree, begin, left } = bench(t, 100, { buffers: 2048 });
  const release = tree.hold(tree.lookup('p/a/a'));
  const asked = begin('p/a/a', 100);
  b.look();
  tree.attach(0, 'p/a');
  tree.offline('p/a/a');
  const had = left('p/a');
  t.not(tree.create('p/new'), 0);
  until(b, () => asked.errno !== null);
  release();
  t.equal(asked.errno, errno.EAGAIN);
  t.equal(left('p/a'), had);
  t.equal(currentOf(b.shared.memcgs, tree.lookup('p/a')), had * PAGE);
});

t.test('pages of a stalled export that lie before those of another cost no rest each batch', async (t) => {
  const { b, begin, proactive } = bench(t, 0, {
    memcgs: [{ name: 'p', ...FREE }],
    exports: ['a', 'b'].map((name) => ({ name, pages: 2048, memcg: 0 })),
  });
  for (let i = 0; i < 400; i++) b.write(i, makePage('random', i), 0);
  for (let i = 0; i < 40; i++) b.write(i, makePage('random', i), 1);
  b.takeBuffers(0);
  const asked = begin('p', 16);
  b.look();
  t.ok(proactive('p') >= 16 && proactive('p') < 20, `${proactive('p')} pages in one look`);
  t.equal(asked.errno, 0);
  checkLists(b.shared);
});
