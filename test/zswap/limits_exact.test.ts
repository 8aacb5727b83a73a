// Where exactly a store is let in: at the pool's limit and its accept threshold, at a memcg's limit, at the bound of raw pages.
import t from 'tap';
import { poolTotal } from '#src/pool/allocator/index.js';
import { CLASSES, classOf, ZSPAGE_BYTES } from '#src/pool/allocator/size_classes.js';
import { POOL } from '#src/pool/counters.js';
import { CTL } from '#src/pool/shared.js';
import { C } from '#src/zswap/counters.js';
import { OVER_LIMIT, REJECTED, STORED, storeRaw } from '#src/zswap/store.js';
import { held, makePage, newZswap, pinned, put } from '../support/pool.ts';

const RAW_PER_ZSPAGE = CLASSES.objects[classOf(4096)];

/** A pool of three zspages, filled with raw pages until it is `zspages` large. */
function filled(zspages: number) {
  const z = newZswap({ poolBytes: 3 * ZSPAGE_BYTES, acceptBytes: 2 * ZSPAGE_BYTES });
  for (let slot = 0; poolTotal(z.shared.zs) < zspages * ZSPAGE_BYTES; slot++) put(z, slot, makePage('random', slot));
  return z;
}

t.test('the pool is full at its limit, not one zspage before', async (t) => {
  const z = filled(2);
  t.equal(put(z, 1000, makePage('text', 1)), STORED);
  t.equal(poolTotal(z.shared.zs), 3 * ZSPAGE_BYTES);
  t.equal(put(z, 1001, makePage('text', 2)), REJECTED, 'though its zspage has room');
  t.strictSame([z.counters[C.pool_limit_hit], z.counters[C.reject_pool_limit], z.shared.control[CTL.FULL]], [1, 1, 1]);
});

t.test('a pool that was full takes pages again at the accept threshold, not above it', async (t) => {
  const z = filled(3);
  t.equal(put(z, 1000, makePage('same', 1)), REJECTED);
  const used = 2 * RAW_PER_ZSPAGE + 1;
  // Frees the objects of the third zspage, then the last one of the second.
  z.invalidate(0, used - 1);
  t.equal(poolTotal(z.shared.zs), 2 * ZSPAGE_BYTES);
  t.equal(put(z, 1000, makePage('same', 1)), STORED);
  t.equal(z.shared.control[CTL.FULL], 0);
  t.equal(z.counters[C.reject_pool_limit], 1);
  const above = newZswap({ poolBytes: 3 * ZSPAGE_BYTES, acceptBytes: 2 * ZSPAGE_BYTES - 1 });
  for (let slot = 0; slot < used; slot++) put(above, slot, makePage('random', slot));
  t.equal(put(above, 1000, makePage('same', 1)), REJECTED);
  above.invalidate(0, used - 1);
  t.equal(put(above, 1000, makePage('same', 1)), REJECTED);
  t.strictSame(
    [above.counters[C.pool_limit_hit], above.counters[C.reject_pool_limit]],
    [1, 2],
    'only the first met the limit',
  );
});

t.test('a memcg may store while it is charged less than its limit, and not at it', async (t) => {
  for (const [max, third] of [
    [2 * 4096, OVER_LIMIT],
    [2 * 4096 + 1, STORED],
  ] as const) {
    const z = newZswap({ memcgs: [{ name: 'm', max, writeback: true }] });
    for (const slot of [1, 2]) t.equal(put(z, slot, makePage('random', slot)), STORED);
    t.equal(put(z, 3, makePage('random', 3)), third);
  }
});

t.test('raw pages fill their bound exactly, and one that does not get smaller is none of them', async (t) => {
  const z = newZswap({ rawMaxBytes: 3 * 4096 });
  const raw = (slot: number) => pinned(z, 0, slot, () => storeRaw(z, 0, slot, makePage('text', slot), 0));
  t.equal(put(z, 1, makePage('random', 1)), STORED);
  t.strictSame([raw(2), raw(3), raw(4), raw(5)], [STORED, STORED, STORED, REJECTED]);
  t.match(held(z.shared), { raw: 4, keptRaw: 3 });
  z.invalidate(0, 1);
  t.equal(raw(5), REJECTED);
  z.invalidate(0, 2);
  t.equal(raw(5), STORED);
  t.strictSame(
    [raw(5), raw(3), raw(6)],
    [STORED, STORED, REJECTED],
    'one that takes the place of another is none more',
  );
  t.match(held(z.shared), { keptRaw: 3 });
  const less = newZswap({ rawMaxBytes: 4095 });
  t.equal(
    pinned(less, 0, 1, () => storeRaw(less, 0, 1, makePage('text', 1), 0)),
    REJECTED,
  );
});

t.test('a new page starts with its second chance, also where its entry had used it up', async (t) => {
  const z = newZswap({ heuristic: 'second-chance' });
  put(z, 1, makePage('text', 1));
  const e = z.lru.head[1];
  t.equal(z.entries.referenced[e], 1);
  z.entries.referenced[e] = 0;
  z.invalidate(0, 1);
  put(z, 2, makePage('text', 2));
  t.equal(z.lru.head[1], e, 'the same entry');
  t.equal(z.entries.referenced[e], 1);
});

t.test('zswap counts what it stored, loaded and freed', async (t) => {
  const z = newZswap();
  const counted = () =>
    [C.zswpout, C.zswpin, C.invalidates, POOL.stored_pages, POOL.same_filled_pages, POOL.compressed_bytes].map(
      (c) => z.counters[c],
    );
  put(z, 1, makePage('same', 1));
  put(z, 2, makePage('random', 2));
  t.strictSame(counted(), [2, 0, 0, 2, 1, 4096]);
  pinned(z, 0, 2, (r) => z.load(r, 0, 2, new Uint8Array(4096), 0));
  pinned(z, 0, 3, (r) => z.load(r, 0, 3, new Uint8Array(4096), 0));
  t.strictSame(counted(), [2, 1, 0, 2, 1, 4096]);
  z.invalidate(0, 1);
  z.invalidate(0, 2);
  t.strictSame(counted(), [2, 1, 2, 0, 0, 0]);
});
