// An entry table that is full, while the pool has room: cold pages leave it, and where it is full of pages that can't leave
// nothing spins.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { totalSize } from '#src/pool/allocator/zsmalloc.js';
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
  const b = new ShrinkerBench(t, { exports, poolBytes: 8 * 2 ** 20, acceptBytes: 7 * 2 ** 20, buffers: 16_384 });
  for (let slot = 0; ; slot++) if (b.write(slot, make(slot)).errno === null) return { b, end: slot };
}

t.test('pages of a few bytes: cold ones are written back until a part of the table is free', async (t) => {
  const { b, end } = full(t, tiny);
  t.ok(totalSize(b.shared.zs) < b.shared.settings.acceptBytes, 'the pool is not nearly full');
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

t.test('same-filled pages stay, and whoever finds the table full of them is rejected without a spin', async (t) => {
  const { b, end } = full(t, (slot) => makePage('same', slot + 1));
  const writes = [b.write(end + 1, makePage('same', 7)), b.write(end + 2, tiny(9))];
  b.shrinker.look();
  t.equal(b.shared.control[CTL.WORK], 0, 'the worker rests at once');
  let looks = 0;
  const { look } = b.shrinker;
  b.shrinker.look = () => {
    looks++;
    look.call(b.shrinker);
  };
  for (let i = 0; i < 20; i++) await nextTurn();
  t.ok(looks <= 1, `${looks} turns were scheduled`);
  b.finish(writes);
  t.strictSame(
    writes.map(({ errno }) => errno),
    [0, 0],
  );
  t.ok(Buffer.from(b.images[0].page(end + 2)).equals(tiny(9)), 'their pages are on the image');
});
