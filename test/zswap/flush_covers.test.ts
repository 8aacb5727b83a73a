// FLUSH and FUA in strict durability: when one is answered 0, a kill leaves what was answered before it, or something newer.
import t from 'tap';
import { IMAGE } from '#src/image/counters.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { sum } from '#src/shm/counters.js';
import { ORDER } from '#src/zswap/orders.js';
import { durable, imageThread, PAGES } from '../support/image_thread.ts';
import { makePage, put } from '../support/pool.ts';

const A = makePage('text', 1);
const B = makePage('text', 2);
const strict = { strict: true };

t.test('a page that is overwritten after the FLUSH was sent is there in one version or the other', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  const flush = i.order(ORDER.FLUSH);
  put(i.z, 3, B);
  i.settle();
  t.equal(flush.errno, 0);
  t.strictSame(durable(i, 3), B);
});

t.test('a page on its way to the image whose slot is overwritten meanwhile', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 20, A);
  put(i.z, 3, A);
  put(i.z, 9, A);
  t.equal(i.shrink(), SHRINK.WRITTEN);
  i.look();
  t.strictSame(i.image.underway, ['write 20+1'], 'the image is busy, so slot 3 waits in the queue');
  t.equal(i.shrink(), SHRINK.WRITTEN);
  const flush = i.order(ORDER.FLUSH);
  i.look();
  // The writeback counts as superseded from here on; what was flushed does not.
  put(i.z, 3, B);
  i.settle();
  t.equal(flush.errno, 0);
  t.ok(
    [A, B].some((page) => Buffer.from(page).equals(durable(i, 3))),
    'the flushed version, or the newer one',
  );
});

t.test('a page whose writeback has failed is a debt until it is written', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  t.equal(i.shrink(), SHRINK.WRITTEN);
  i.look();
  i.image.fail();
  const flush = i.order(ORDER.FLUSH);
  i.look();
  // The FLUSH writes the page itself.
  t.strictSame(i.image.underway, ['write 3+1']);
  i.settle();
  t.equal(flush.errno, 0);
  t.strictSame(durable(i, 3), A);
});

t.test('a FLUSH whose copy fails is answered with the error, and the next one tries again', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  const flush = i.order(ORDER.FLUSH);
  i.look();
  i.image.fail();
  i.settle();
  t.equal(flush.errno, 5);
  const again = i.order(ORDER.FLUSH);
  i.settle();
  t.equal(again.errno, 0);
  t.strictSame(durable(i, 3), A);
});

t.test('a FLUSH whose sync fails is answered with the error, and its slots stay dirty', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  const flush = i.order(ORDER.FLUSH);
  i.look();
  i.image.end();
  i.look();
  t.strictSame(i.image.underway, ['sync']);
  i.image.fail();
  i.look();
  t.equal(flush.errno, 5);
  i.order(ORDER.FLUSH);
  i.look();
  t.strictSame(i.image.underway, ['write 3+1'], 'it is copied again');
});

t.test('what is clean is not written again', async (t) => {
  const i = imageThread(t, strict);
  for (const slot of [3, 40, PAGES - 1]) put(i.z, slot, A);
  i.order(ORDER.FLUSH);
  i.settle();
  const flush = i.order(ORDER.FLUSH);
  i.look();
  t.strictSame(i.image.underway, ['sync']);
  i.settle();
  t.equal(flush.errno, 0);
});

t.test('FUA of one page writes that page, and leaves others dirty', async (t) => {
  const i = imageThread(t, strict);
  for (const slot of [3, 4, 5]) put(i.z, slot, A);
  const fua = i.order(ORDER.PERSIST, 4, 1);
  i.settle();
  t.equal(fua.errno, 0);
  t.strictSame(durable(i, 4), A);
  t.strictSame(durable(i, 3), new Uint8Array(4096));
  i.order(ORDER.FLUSH);
  i.look();
  t.strictSame(i.image.underway, ['write 3+1'], 'the FLUSH begins with what the FUA has left');
  i.settle();
  t.strictSame(durable(i, 5), A);
});

t.test(
  'a FUA whose slot an unfinished FLUSH has taken writes it by itself, whatever becomes of the FLUSH',
  async (t) => {
    const i = imageThread(t, strict);
    put(i.z, 3, A);
    const flush = i.order(ORDER.FLUSH);
    i.look();
    const fua = i.order(ORDER.PERSIST, 2, 4);
    i.look();
    t.strictSame(i.image.underway, ['write 3+1'], 'the copy of the FLUSH is not on the disk yet');
    i.image.fail();
    i.settle();
    t.strictSame([flush.errno, fua.errno], [5, 0]);
    t.strictSame(durable(i, 3), A);
  },
);

t.test('a FUA that fails leaves a debt, also of what a FLUSH had taken', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  const flush = i.order(ORDER.FLUSH);
  i.look();
  const fua = i.order(ORDER.PERSIST, 3, 1);
  i.look();
  i.image.end();
  i.look();
  while (i.image.underway[0] === 'sync') {
    i.image.end();
    i.look();
  }
  i.image.fail();
  i.settle();
  t.strictSame([flush.errno, fua.errno], [0, 5]);
  i.order(ORDER.FLUSH);
  i.look();
  t.strictSame(i.image.underway, ['write 3+1']);
});

t.test('a FLUSH waits for a FUA that was there before it, and fails with it', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  const fua = i.order(ORDER.PERSIST, 3, 1);
  i.look();
  const flush = i.order(ORDER.FLUSH);
  i.look();
  i.image.fail();
  i.settle();
  t.strictSame([fua.errno, flush.errno], [5, 5]);
});

t.test('FUAs of ranges that overlap write each slot once', async (t) => {
  const i = imageThread(t, strict);
  for (const slot of [1, 2, 3]) put(i.z, slot, A);
  const answers = [i.order(ORDER.PERSIST, 1, 2), i.order(ORDER.PERSIST, 2, 2)];
  i.look();
  t.strictSame(i.image.underway, ['write 1+3']);
  i.settle();
  for (const { errno } of answers) t.equal(errno, 0);
  t.equal(sum(i.shared.counters, IMAGE.image_writes), 3);
});

t.test('a FUA of another slot does not wait for a FLUSH, and a failed FLUSH is none of its business', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  i.order(ORDER.FLUSH);
  i.look();
  put(i.z, 7, B);
  const fua = i.order(ORDER.PERSIST, 7, 1);
  i.look();
  i.image.fail();
  i.settle();
  t.equal(fua.errno, 0);
  t.strictSame(durable(i, 7), B);
});

t.test('requests that wait together share one sync', async (t) => {
  const i = imageThread(t, strict);
  for (const slot of [1, 2, 3]) put(i.z, slot, A);
  const answers = [1, 2, 3].map((slot) => i.order(ORDER.PERSIST, slot, 1));
  i.look();
  t.strictSame(i.image.underway, ['write 1+3']);
  i.image.end();
  i.look();
  t.strictSame(i.image.underway, ['sync']);
  i.settle();
  t.strictSame(
    answers.map(({ errno }) => errno),
    [0, 0, 0],
  );
});

t.test('a trimmed slot is dirty: its zeros are promised as well', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  i.order(ORDER.FLUSH);
  i.settle();
  i.z.invalidate(0, 3);
  i.order(ORDER.PUNCH, 3, 1);
  i.settle();
  t.strictSame(durable(i, 3), A, 'not synced yet');
  const fua = i.order(ORDER.PERSIST, 3, 1);
  i.settle();
  t.equal(fua.errno, 0);
  t.strictSame(durable(i, 3), new Uint8Array(4096));
});

t.test('a lost slot makes FLUSH fail until it is written again', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  i.shared.lost.words[0][0] = 1 << 3;
  const flush = i.order(ORDER.FLUSH);
  i.settle();
  t.equal(flush.errno, 5);
  put(i.z, 3, B);
  const again = i.order(ORDER.FLUSH);
  i.settle();
  t.equal(again.errno, 0);
  t.strictSame(durable(i, 3), B);
});

t.test('FLUSH waits for a slot that is pinned', async (t) => {
  const i = imageThread(t, strict);
  put(i.z, 3, A);
  const r = i.z.pin(0, 3);
  const flush = i.order(ORDER.FLUSH);
  i.settle();
  t.equal(flush.errno, null);
  i.z.unpin(r);
  i.settle();
  t.equal(flush.errno, 0);
  t.strictSame(durable(i, 3), A);
});
