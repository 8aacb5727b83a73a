// Storing and loading pages: kinds of pages, what is counted, and that dropping everything leaves nothing behind.
import t from 'tap';
import { testBit } from '#src/pool/bits.js';
import { POOL } from '#src/pool/counters.js';
import { allocEntry, NONE } from '#src/pool/entries.js';
import { sum } from '#src/shm/counters.js';
import { C } from '#src/zswap/counters.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { REJECTED, STORED, store, storeRaw } from '#src/zswap/store.js';
import { checkEmpty, held, KINDS, makePage, newZswap, pinned, put, take, zsmallocOf } from '../support/pool.ts';

for (const kind of KINDS) {
  t.test(`a ${kind} page comes back as it was, and as often as it is read`, async (t) => {
    const z = newZswap();
    const page = makePage(kind, 0x12345678);
    t.equal(put(z, 5, page), STORED);
    for (let i = 0; i < 2; i++) {
      const got = take(z, 5);
      t.equal(got.result, LOADED);
      t.ok(Buffer.from(got.page).equals(page));
    }
    const counted = held(z.shared);
    t.equal(counted.stored, 1);
    t.equal(counted.sameFilled, kind === 'same' ? 1 : 0);
    t.equal(counted.raw, kind === 'random' ? 1 : 0);
    t.equal(counted.keptRaw, 0);
    t.equal(counted.bytes, counted.charged);
    t.equal(counted.poolBytes > 0, kind !== 'same');
    z.invalidate(0, 5);
    t.equal(take(z, 5).result, ON_IMAGE);
    checkEmpty(t, z.shared);
  });
}

t.test('a page at an odd address is stored and loaded', async (t) => {
  const z = newZswap();
  for (const kind of KINDS) {
    const page = makePage(kind, 0x01020304);
    const memory = new Uint8Array(3 * 4096);
    memory.set(page, 4097);
    const out = new Uint8Array(3 * 4096);
    pinned(z, 0, 1, () => t.equal(store(z, 0, 1, memory, 4097, false), STORED));
    pinned(z, 0, 1, (r) => t.equal(z.load(r, 0, 1, out, 4099), LOADED));
    t.ok(Buffer.from(out.subarray(4099, 8195)).equals(page), kind);
    t.ok(out.subarray(0, 4099).every((byte) => byte === 0) && out.subarray(8195).every((byte) => byte === 0));
  }
});

t.test('pages that differ from a repeated word in one place are not taken for one', async (t) => {
  const z = newZswap();
  for (const at of [0, 1, 2, 3, 4, 5, 2046, 2047, 2048, 4091, 4092, 4093, 4095]) {
    const page = makePage('same', 0x0a0b0c0d);
    page[at] ^= 1;
    put(z, 1, page);
    t.equal(sum(z.shared.counters, POOL.same_filled_pages), 0);
    t.ok(Buffer.from(take(z, 1).page).equals(page), `byte ${at}`);
  }
});

t.test('a second store of a slot replaces the first, of whatever kind', async (t) => {
  const z = newZswap();
  for (const first of KINDS) {
    for (const second of KINDS) {
      put(z, 5, makePage(first, 1));
      put(z, 5, makePage(second, 2));
      t.ok(Buffer.from(take(z, 5).page).equals(makePage(second, 2)), `${first}, then ${second}`);
      t.equal(held(z.shared).entries, 1);
      z.invalidate(0, 5);
      checkEmpty(t, z.shared);
    }
  }
});

t.test('without sameFilled and storeIncompressible such pages are compressed and rejected', async (t) => {
  const z = newZswap({ sameFilled: false, storeIncompressible: false });
  t.equal(put(z, 1, makePage('same', 7)), STORED);
  t.equal(sum(z.shared.counters, POOL.same_filled_pages), 0);
  t.ok(held(z.shared).bytes > 0);
  t.equal(put(z, 2, makePage('random', 7)), REJECTED);
  t.equal(sum(z.shared.counters, C.reject_compress_poor), 1);
});

t.test('a rejected store keeps the old page, until it is dropped', async (t) => {
  const z = newZswap({ storeIncompressible: false });
  put(z, 1, makePage('text', 1));
  t.equal(put(z, 1, makePage('random', 2)), REJECTED);
  t.ok(Buffer.from(take(z, 1).page).equals(makePage('text', 1)));
  pinned(z, 0, 1, (r) => z.dropOld(r, 0, 1));
  t.equal(take(z, 1).result, ON_IMAGE);
  checkEmpty(t, z.shared);
});

t.test('raw pages are stored up to their bound, and replacing one makes room', async (t) => {
  const z = newZswap({ rawMaxBytes: 2 * 4096 });
  const raw = (slot: number) => pinned(z, 0, slot, () => storeRaw(z, 0, slot, makePage('text', slot), 0));
  t.strictSame([raw(1), raw(2), raw(3)], [STORED, STORED, REJECTED]);
  t.ok(Buffer.from(take(z, 2).page).equals(makePage('text', 2)));
  t.equal(put(z, 1, makePage('text', 9)), STORED);
  t.equal(raw(3), STORED);
});

t.test('incompressible pages that are stored as such take nothing of the bound on raw ones', async (t) => {
  const z = newZswap({ rawMaxBytes: 2 * 4096, storeIncompressible: true });
  const raw = (slot: number) => pinned(z, 0, slot, () => storeRaw(z, 0, slot, makePage('random', slot), 0));
  for (let slot = 10; slot < 20; slot++) t.equal(put(z, slot, makePage('random', slot)), STORED);
  t.strictSame([raw(1), raw(2), raw(3)], [STORED, STORED, REJECTED]);
  t.equal(put(z, 10, makePage('text', 1)), STORED);
  t.equal(raw(3), REJECTED, 'nor does one that goes make room');
  z.invalidate(0, 1);
  t.equal(raw(10), STORED);
  for (const slot of [2, 10]) z.invalidate(0, slot);
  for (let slot = 11; slot < 20; slot++) z.invalidate(0, slot);
  checkEmpty(t, z.shared);
});

t.test('a lost slot fails to load until it is stored or invalidated', async (t) => {
  const z = newZswap();
  const { lost, users } = z.shared;
  for (const heal of [() => put(z, 5, makePage('text', 1)), () => z.invalidate(0, 5)]) {
    lost.words[0][0] |= 1 << 5;
    t.equal(take(z, 5).result, LOAD_FAILED);
    heal();
    t.notOk(testBit(lost, 0, 5));
  }
  t.notOk(testBit(users, 0, 5));
});

t.test('when the entry table is full a store is rejected and the old page stays', async (t) => {
  const z = newZswap();
  put(z, 0, makePage('text', 0));
  while (allocEntry(z.entries) !== NONE);
  t.equal(put(z, 0, makePage('same', 9)), REJECTED);
  t.equal(put(z, 0, makePage('text', 9)), REJECTED);
  t.equal(sum(z.shared.counters, C.reject_kmemcache_fail), 2);
  t.ok(Buffer.from(take(z, 0).page).equals(makePage('text', 0)));
});

t.test('when no zspage is left the entry is given back and the old page stays', async (t) => {
  const z = newZswap();
  put(z, 0, makePage('text', 0));
  // The high-water mark at the end: every zspage was handed out.
  const { control, pages } = zsmallocOf(z);
  control[3] = pages;
  t.equal(put(z, 0, makePage('random', 9)), REJECTED);
  t.equal(sum(z.shared.counters, C.reject_alloc_fail), 1);
  t.ok(Buffer.from(take(z, 0).page).equals(makePage('text', 0)));
  z.invalidate(0, 0);
  checkEmpty(t, z.shared);
});

t.test('when no tree node is left the entry and its object are given back', async (t) => {
  const z = newZswap();
  put(z, 0, makePage('text', 0));
  const { control } = z.trees;
  const capacity = control[4];
  control[4] = 1;
  for (const kind of KINDS) t.equal(put(z, 5, makePage(kind, 9)), REJECTED);
  t.equal(sum(z.shared.counters, C.reject_kmemcache_fail), 3);
  t.equal(held(z.shared).entries, 1);
  t.ok(Buffer.from(take(z, 0).page).equals(makePage('text', 0)));
  control[4] = capacity;
  z.invalidate(0, 0);
  checkEmpty(t, z.shared);
});
