// A rejected WRITE goes to the image. If that fails, the old page stays, and nothing ever reads half of each.
import { OK, TAKEN } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { testBit } from '#src/pool/bits.js';
import { isDirty } from '#src/pool/dirty.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { C } from '#src/zswap/counters.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { ORDER } from '#src/zswap/orders.js';
import { Volume } from '#src/zswap/volume.js';
import { type ImageThread, imageThread, PAGES } from '../support/image_thread.ts';
import { makePage, put, take } from '../support/pool.ts';

const A = makePage('text', 1);
/** Does not compress, so the pool rejects it. */
const B = makePage('random', 2);
const rejecting = { storeIncompressible: false };
const INFO = {
  name: 'a',
  description: '',
  size: PAGES * 4096,
  flags: 0,
  minBlock: 1,
  preferredBlock: 4096,
  maxBlock: 4096,
};

/** Sends a WRITE as a connection does; `errno` is null until it is answered. */
function write(i: ImageThread, slot: number, page: Uint8Array): { errno: number | null } {
  const request = {
    errno: null as number | null,
    fenced: () => false,
    settle(errno: number): void {
      request.errno = errno;
    },
    resume: () => undefined,
  };
  const result = new Volume(i.lane, 0, INFO).write(request, slot, page, 0);
  if (result === OK) request.errno = 0;
  else if (result !== TAKEN) throw new Error(`the write answers ${result}`);
  return request;
}

/** A is on its way to the image while B's WRITE holds the pin; A's image write ends well, B's does as `errno` says. */
function overtake(t: Test, i: ImageThread, errno: number): { errno: number | null } {
  put(i.z, 3, A);
  t.equal(i.shrink(), SHRINK.WRITTEN);
  i.look();
  const request = write(i, 3, B);
  i.look();
  t.strictSame(i.image.underway, ['write 3+1']);
  i.image.end();
  i.look();
  t.strictSame(i.image.page(3).slice(), A);
  t.strictSame(i.image.underway, ['write 3+1'], 'and now that of B');
  i.image.end(errno);
  i.look();
  return request;
}

t.test('the old page, whose own image write has ended, is read and written again', async (t) => {
  const i = imageThread(t, rejecting);
  const request = overtake(t, i, 5);
  t.equal(request.errno, 5);
  t.strictSame(take(i.z, 3), { result: LOADED, page: A });
  i.settle();
  t.strictSame(i.image.page(3).slice(), A, 'the image has it whole again');
  t.equal(take(i.z, 3).result, ON_IMAGE);
  t.equal(i.z.counters[C.lost_pages], 0);
});

t.test('and if it is not written again, it stays readable', async (t) => {
  const i = imageThread(t, rejecting);
  overtake(t, i, 5);
  i.look();
  i.image.fail();
  i.look();
  t.strictSame(take(i.z, 3), { result: LOADED, page: A });
});

t.test('a newer page that reached the image is what is read', async (t) => {
  const i = imageThread(t, rejecting);
  t.equal(overtake(t, i, 0).errno, 0);
  i.settle();
  t.equal(take(i.z, 3).result, ON_IMAGE);
  t.strictSame(i.image.page(3).slice(), B);
});

t.test('a slot that only the image had is lost: EIO until it is written or trimmed', async (t) => {
  const i = imageThread(t, rejecting);
  put(i.z, 3, A);
  i.shrink();
  i.settle();
  const request = write(i, 3, B);
  i.look();
  i.image.fail();
  i.look();
  t.equal(request.errno, 5);
  t.equal(take(i.z, 3).result, LOAD_FAILED);
  t.equal(i.z.counters[C.lost_pages], 1);
  put(i.z, 3, A);
  t.strictSame(take(i.z, 3), { result: LOADED, page: A });
});

t.test('a page that is parked because its image write failed counts as an old copy', async (t) => {
  const i = imageThread(t, rejecting);
  put(i.z, 3, A);
  i.shrink();
  i.look();
  i.image.fail();
  const request = write(i, 3, B);
  i.look();
  i.image.fail();
  i.look();
  t.equal(request.errno, 5);
  t.notOk(testBit(i.shared.lost, 0, 3));
  t.strictSame(take(i.z, 3), { result: LOADED, page: A });
});

t.test('the entry of an older page stays, and counts as an old copy', async (t) => {
  const i = imageThread(t, rejecting);
  put(i.z, 3, A);
  const request = write(i, 3, B);
  i.look();
  i.image.fail();
  i.look();
  t.equal(request.errno, 5);
  t.strictSame(take(i.z, 3), { result: LOADED, page: A });
});

t.test('a slot that nobody has written is zeros again, by a hole', async (t) => {
  const i = imageThread(t, rejecting);
  const request = write(i, 3, B);
  i.look();
  i.image.fail();
  i.look();
  i.look();
  t.strictSame(i.image.underway, ['punch 3+1']);
  i.image.end();
  i.look();
  t.equal(request.errno, 5);
  t.notOk(testBit(i.shared.users, 0, 3));
  t.notOk(testBit(i.shared.lost, 0, 3));
});

t.test("and lost if the hole can't be had", async (t) => {
  const i = imageThread(t, rejecting);
  const request = write(i, 3, B);
  i.look();
  i.image.fail();
  i.look();
  i.look();
  i.image.fail();
  i.look();
  t.equal(request.errno, 5);
  t.ok(testBit(i.shared.lost, 0, 3));
  t.equal(i.z.counters[C.lost_pages], 1);
});

t.test('strict: what was flushed of the old page is mended by the next FLUSH', async (t) => {
  const i = imageThread(t, { ...rejecting, strict: true });
  put(i.z, 3, A);
  i.order(ORDER.FLUSH);
  i.settle();
  const request = write(i, 3, B);
  i.look();
  i.image.fail();
  i.look();
  t.equal(request.errno, 5);
  t.ok(isDirty(i.shared.dirty!, 0, 3));
  const flush = i.order(ORDER.FLUSH);
  i.settle();
  t.equal(flush.errno, 0);
  t.strictSame(i.image.durable.slice(3 * 4096, 4 * 4096), A);
});
