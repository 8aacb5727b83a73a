// FLUSH and FUA beside each other: neither keeps the other waiting for all that it copies.
import t from 'tap';
import { IMAGE } from '#src/image/counters.js';
import { sum } from '#src/shm/counters.js';
import { ORDER } from '#src/zswap/orders.js';
import { STORED } from '#src/zswap/store.js';
import { durable, imageThread } from '../support/image_thread.ts';
import { makePage, put } from '../support/pool.ts';

const A = makePage('text', 1);
const B = makePage('text', 2);
const strict = { strict: true };

for (const first of ['the FUA', 'the FLUSH'])
  t.test(`a FUA that comes with the FLUSH of many pages does not wait for all of it: ${first} first`, async (t) => {
    const i = imageThread(t, strict);
    const many = 400;
    for (let slot = 0; slot < many; slot++) if (put(i.z, slot, A) !== STORED) t.fail(`slot ${slot} is rejected`);
    // Both rounds are taken when they come.
    const before = [i.order(ORDER.PERSIST, 0, 1), i.order(ORDER.FLUSH)];
    i.look();
    put(i.z, 1, B);
    const fuaFirst = first === 'the FUA' ? i.order(ORDER.PERSIST, 1, 1) : null;
    const flush = i.order(ORDER.FLUSH);
    const fua = fuaFirst ?? i.order(ORDER.PERSIST, 1, 1);
    for (i.look(); fua.errno === null; i.look()) i.image.endAll();
    t.strictSame([before[0].errno, before[1].errno, fua.errno, flush.errno], [0, null, 0, null]);
    t.strictSame(durable(i, 1), B);
    i.settle();
    t.strictSame([before[1].errno, flush.errno], [0, 0]);
  });

t.test('a FUA of a page does not wait for room that the FLUSH of many pages takes', async (t) => {
  const i = imageThread(t, strict);
  const many = 400;
  for (let slot = 0; slot < many; slot++) if (put(i.z, slot, A) !== STORED) t.fail(`slot ${slot} is rejected`);
  const flush = i.order(ORDER.FLUSH);
  i.look();
  t.equal(put(i.z, 2000, B), STORED);
  const fua = i.order(ORDER.PERSIST, 2000, 1);
  for (i.look(); fua.errno === null; i.look()) i.image.endAll();
  t.equal(fua.errno, 0);
  t.strictSame(durable(i, 2000), B);
  const written = sum(i.shared.counters, IMAGE.image_writes);
  t.ok(written < many / 2, `answered after ${written} pages of ${many + 1}`);
  i.settle();
  t.equal(flush.errno, 0);
});

t.test('a FLUSH has its part of few buffers beside FUAs that follow each other without a gap', async (t) => {
  const i = imageThread(t, { strict: true, buffers: 16 });
  const many = 400;
  for (let slot = 0; slot < many; slot++) if (put(i.z, slot, A) !== STORED) t.fail(`slot ${slot} is rejected`);
  const flush = i.order(ORDER.FLUSH);
  i.look();
  let rounds = 0;
  for (; flush.errno === null && rounds < 200; rounds++) {
    for (let slot = 1000; slot < 1032; slot++) put(i.z, slot, B);
    const fua = i.order(ORDER.PERSIST, 1000, 32);
    for (i.look(); fua.errno === null; i.look()) i.image.endAll();
  }
  t.equal(flush.errno, 0, `answered after ${rounds} FUAs of 32 pages`);
});
