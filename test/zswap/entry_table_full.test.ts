// An entry table that is full, while the pool has room: cold pages leave it, and those that can't leave have a part of it.
import t, { type Test } from 'tap';
import { poolTotal } from '#src/pool/allocator/index.js';
import { CTL, WORK } from '#src/pool/shared.js';
import { makePage } from '../support/pool.ts';
import { ShrinkerBench } from '../support/shrinker_bench.ts';

/** Far more slots than there are entries. */
const PAGES = 131_072;

/** A page of a few bytes, compressed. */
function tiny(number: number): Uint8Array {
  const page = new Uint8Array(4096);
  new DataView(page.buffer).setUint32(100, number);
  return page;
}

/** A bench whose entry table is full of pages that `make` makes, and the next slot, whose page was rejected. */
function full(t: Test, make: (slot: number) => Uint8Array): { b: ShrinkerBench; end: number } {
  const exports = [{ name: 'a', pages: PAGES, memcg: 0 }];
  const b = new ShrinkerBench(t, {
    exports,
    poolBytes: 8 * 2 ** 20,
    acceptBytes: 7 * 2 ** 20,
    buffers: 16_384,
    rawOnReject: false,
  });
  for (let slot = 0; ; slot++) if (b.write(slot, make(slot)).errno === null) return { b, end: slot };
}

t.test('pages of a few bytes: cold ones are written back until a part of the table is free', async (t) => {
  const { b, end } = full(t, tiny);
  t.ok(poolTotal(b.shared.zs) < b.shared.settings.acceptBytes, 'the pool is not nearly full');
  t.equal(b.count('reject_kmemcache_fail'), 1);
  t.equal(b.shared.control[CTL.WORK], WORK.ENTRIES);
  for (let i = 0; b.shared.control[CTL.WORK] !== 0 && i < 1000; i++) {
    b.look();
    b.images[0].endAll();
  }
  t.equal(b.shared.control[CTL.WORK], 0);
  const written = b.count('written_back_pages');
  t.ok(written >= end / 8 && written <= end / 8 + 64, `${written} of ${end} pages left, down to 7/8`);
  t.equal(b.write(end + 1, tiny(1)).errno, 0, 'stores are taken again');
  t.equal(b.count('reject_kmemcache_fail'), 1);
});

t.test('what same-filled pages take is no room to be made: of the others a part leaves, not all', async (t) => {
  const { b, end } = full(t, (slot) => (slot % 2 === 0 ? makePage('same', slot + 1) : tiny(slot)));
  for (let i = 0; b.shared.control[CTL.WORK] !== 0 && i < 1000; i++) {
    b.look();
    b.images[0].endAll();
  }
  const written = b.count('written_back_pages');
  t.ok(written >= end / 16 && written <= end / 16 + 64, `${written} of ${end / 2} pages left`);
});

t.test('same-filled pages of one export leave entries to the others; beyond their part they are charged', async (t) => {
  const exports = [
    { name: 'a', pages: PAGES, memcg: 0 },
    { name: 'b', pages: 4096, memcg: 1 },
  ];
  const memcgs = [
    { name: 'a', max: 4096, writeback: true },
    { name: 'b', max: Number.MAX_SAFE_INTEGER, writeback: true },
  ];
  const b = new ShrinkerBench(t, {
    exports,
    memcgs,
    poolBytes: 8 * 2 ** 20,
    acceptBytes: 7 * 2 ** 20,
    buffers: 4096,
    rawOnReject: false,
  });
  const { capacity } = b.shared.entries;
  const part = Math.floor((capacity * 3) / 4);
  let slot = 0;
  for (; slot < part; slot++) b.write(slot, makePage('same', slot + 1));
  t.equal(b.count('same_filled_pages'), part);
  t.equal(b.z.lru.charged[1], 0);
  t.equal(b.write(slot++, makePage('same', 1)).errno, 0);
  t.equal(b.count('same_filled_pages'), part, 'no more are stored as such');
  t.ok(b.z.lru.charged[1] > 0, 'this one is charged like any other');
  const rest = Array.from({ length: 2000 }, () => b.write(slot++, makePage('same', slot)));
  b.finish(rest);
  t.ok(b.z.lru.charged[1] <= 4096, 'and the limit of its memcg holds');
  const others = Array.from({ length: 1000 }, (_, i) => b.write(i, tiny(i), 1));
  t.same(
    others.filter(({ errno }) => errno !== 0),
    [],
    'the other export finds room',
  );
  t.equal(b.count('reject_kmemcache_fail'), 0);
});

t.test('where every page has an entry, all of them may be same-filled', async (t) => {
  const exports = [{ name: 'a', pages: 4096, memcg: 0 }];
  const b = new ShrinkerBench(t, { exports, poolBytes: 8 * 2 ** 20, acceptBytes: 7 * 2 ** 20, rawOnReject: false });
  for (let slot = 0; slot < 4096; slot++) t.equal(b.write(slot, makePage('same', slot + 1)).errno, 0);
  t.equal(b.count('same_filled_pages'), 4096);
});
