// A READ that fails is looked at up to three times (at once, beside a run from the image, in its turn) and counted once.

import t, { type Test } from 'tap';
import type { ReadableImage } from '#src/image/image.js';
import { NODE_LOOP } from '#src/os/loop.js';
import { setBit } from '#src/pool/bits.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { get, treeOf } from '#src/pool/tree.js';
import { sum } from '#src/shm/counters.js';
import { C } from '#src/zswap/counters.js';
import { Lane } from '#src/zswap/lane.js';
import { Volume } from '#src/zswap/volume.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { serve } from '../support/nbd_server.ts';
import { makePage, newZswap, put } from '../support/pool.ts';

/** An image that reads as one page all over. */
function imageOf(page: Uint8Array): ReadableImage {
  return {
    read(_slot, count, dst, at, done) {
      for (let i = 0; i < count; i++) dst.set(page, at + i * PAGE_SIZE);
      setImmediate(done, 0);
    },
    close() {},
  };
}

async function client(t: Test, z: Zswap, image: Uint8Array) {
  const lane = new Lane(z, [imageOf(image)], 4, NODE_LOOP);
  const size = z.settings.exports[0].pages * PAGE_SIZE;
  const info = {
    name: 'a',
    description: '',
    size,
    flags: 1,
    minBlock: 1,
    preferredBlock: PAGE_SIZE,
    maxBlock: 2 ** 25,
  };
  const { connect } = await serve(t, new Volume(lane, 0, info));
  return connect({ export: 'a' });
}

function corrupt(z: Zswap, slot: number): void {
  const e = get(z.trees, treeOf(z.trees, 0, slot), slot);
  const at = z.objects.offset(e);
  z.objects.segment(e).fill(0xff, at, at + 8);
}

t.test('decompress_fail counts the READs that it fails', async (t) => {
  const z = newZswap();
  for (const slot of [1, 2, 6]) put(z, slot, makePage('text', slot));
  setBit(z.shared.users, 0, 5);
  for (const slot of [2, 6]) corrupt(z, slot);
  const nbd = await client(t, z, makePage('text', 5));
  const counted = () => sum(z.shared.counters, C.decompress_fail);
  t.ok((await nbd.read(PAGE_SIZE, PAGE_SIZE)).equals(makePage('text', 1)));
  t.equal(counted(), 0);
  await t.rejects(nbd.read(2 * PAGE_SIZE, PAGE_SIZE), { code: 'EIO' });
  t.equal(counted(), 1, 'a page of its own');
  await t.rejects(nbd.read(PAGE_SIZE, 2 * PAGE_SIZE), { code: 'EIO' });
  t.equal(counted(), 2, 'behind one that is right');
  await t.rejects(nbd.read(5 * PAGE_SIZE, 2 * PAGE_SIZE), { code: 'EIO' });
  t.equal(counted(), 3, 'behind one that the image has');
  await t.rejects(nbd.write(2 * PAGE_SIZE + 10, Buffer.alloc(10)), { code: 'EIO' });
  t.equal(counted(), 4, 'as the base of a part');
  await nbd.disconnect();
});

t.test('checksum_mismatch counts a page once, which is lost then', async (t) => {
  const z = newZswap({ checksums: true });
  for (const slot of [1, 2, 6]) put(z, slot, makePage('text', slot));
  setBit(z.shared.users, 0, 5);
  for (const slot of [2, 6]) z.sums.note(0, slot, z.codec.sumOf(makePage('text', 100)));
  const nbd = await client(t, z, makePage('text', 5));
  const counted = () => [sum(z.shared.counters, C.checksum_mismatch), sum(z.shared.counters, C.lost_pages)];
  await t.rejects(nbd.read(PAGE_SIZE, 2 * PAGE_SIZE), { code: 'EIO' });
  t.same(counted(), [1, 1], 'behind one that is right');
  await t.rejects(nbd.read(2 * PAGE_SIZE, PAGE_SIZE), { code: 'EIO' });
  await t.rejects(nbd.write(2 * PAGE_SIZE + 10, Buffer.alloc(10)), { code: 'EIO' });
  t.same(counted(), [1, 1]);
  await t.rejects(nbd.write(6 * PAGE_SIZE + 10, Buffer.alloc(10)), { code: 'EIO' });
  t.same(counted(), [2, 2], 'as the base of a part');
  await nbd.write(2 * PAGE_SIZE, makePage('text', 7));
  t.ok((await nbd.read(2 * PAGE_SIZE, PAGE_SIZE)).equals(makePage('text', 7)), 'until it is written');
  await nbd.disconnect();
});

t.test('a page from the image that is not the last one is counted once', async (t) => {
  const z = newZswap({ checksums: true });
  setBit(z.shared.users, 0, 5);
  z.sums.note(0, 5, z.codec.sumOf(makePage('text', 1)));
  const nbd = await client(t, z, makePage('text', 2));
  await t.rejects(nbd.read(5 * PAGE_SIZE, PAGE_SIZE), { code: 'EIO' });
  t.equal(sum(z.shared.counters, C.checksum_mismatch), 1);
  await nbd.disconnect();
});
