// The drain and swapoff --keep: what they call written is on the image, whatever its first attempt came to.
import t from 'tap';
import { SHRINK } from '#src/protocols/protocol.js';
import { type ImageThread, imageThread } from '../support/image_thread.ts';
import { makePage, put } from '../support/pool.ts';

const A = makePage('text', 1);
const B = makePage('text', 2);

interface Drained {
  errno: number;
  failed: number;
}

/** Lets the event loop turn, so that what was promised arrives. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function drain(i: ImageThread, end: (i: ImageThread) => void): Promise<Drained> {
  let drained: Drained | null = null;
  i.shrinker.drain(
    0,
    () => undefined,
    ({ errno, failed }) => {
      drained = { errno, failed: failed.length };
    },
  );
  while (drained === null) {
    i.look();
    if (i.image.calls.length > 0) end(i);
    await turn();
  }
  return drained;
}

const ends = (i: ImageThread): void => i.image.end();
const fails = (i: ImageThread): void => (i.image.underway[0] === 'sync' ? i.image.end() : i.image.fail());

function writeBack(t: { equal(a: unknown, b: unknown): unknown }, i: ImageThread): void {
  t.equal(i.shrink(), SHRINK.WRITTEN);
  i.look();
}

t.test('a page whose writeback has failed is written by the drain', async (t) => {
  const i = imageThread(t);
  put(i.z, 3, A);
  writeBack(t, i);
  i.image.fail();
  t.strictSame(await drain(i, ends), { errno: 0, failed: 0 });
  t.strictSame(i.image.page(3).slice(), A);
});

t.test('pages that the image goes on to refuse are failures of the drain, each counted once', async (t) => {
  const i = imageThread(t);
  for (const slot of [3, 8, 11]) put(i.z, slot, A);
  writeBack(t, i);
  i.image.fail();
  const { errno, failed } = await drain(i, fails);
  t.strictSame([errno, failed], [5, 3]);
});

t.test('a failed page that is tried again behind the sync of a drain is a failure of that drain', async (t) => {
  const i = imageThread(t);
  put(i.z, 3, A);
  writeBack(t, i);
  i.image.fail();
  let retried = false;
  const { errno, failed } = await drain(i, () => {
    if (i.image.underway[0] !== 'sync') {
      i.image.fail();
      return;
    }
    // As the timer does, at the worst moment: nothing is parked now, and nothing is written either.
    i.queue.retryParked();
    retried = true;
    i.image.end();
  });
  t.ok(retried);
  t.strictSame([errno, failed], [5, 1]);
});

t.test('an error that passes costs nothing: what the image refused is tried again', async (t) => {
  const i = imageThread(t);
  for (const slot of [3, 8, 11]) put(i.z, slot, A);
  let failures = 0;
  const drained = await drain(i, () =>
    i.image.underway[0] === 'write 8+1' && failures++ < 2 ? i.image.fail() : i.image.end(),
  );
  t.strictSame(drained, { errno: 0, failed: 0 });
  t.equal(failures, 3, 'it took three times');
  t.strictSame(i.image.page(8).slice(), A);
});

t.test('a sync that fails makes the drain fail', async (t) => {
  const i = imageThread(t);
  put(i.z, 3, A);
  const { errno } = await drain(i, () => (i.image.underway[0] === 'sync' ? i.image.fail() : i.image.end()));
  t.equal(errno, 5);
});

t.test('swapoff with keep is told of a page that the image refuses', async (t) => {
  const i = imageThread(t);
  put(i.z, 3, A);
  put(i.z, 4, A);
  writeBack(t, i);
  i.image.fail();
  let errno = -1;
  i.shrinker.copyOut(0, true, (e) => {
    errno = e;
  });
  while (errno < 0) {
    i.look();
    if (i.image.calls.length > 0) fails(i);
  }
  t.equal(errno, 5);
});

t.test('swapoff copies slot 0 alone, also when its page is on its way', async (t) => {
  const i = imageThread(t);
  put(i.z, 0, A);
  put(i.z, 4, B);
  writeBack(t, i);
  i.image.fail();
  let errno = -1;
  i.shrinker.copyOut(0, false, (e) => {
    errno = e;
  });
  i.settle();
  t.equal(errno, 0);
  t.strictSame(i.image.page(0).slice(), A);
  t.strictSame(i.image.page(4).slice(), new Uint8Array(4096));
});

t.test('the drain waits for a pin, and skips nothing', async (t) => {
  const i = imageThread(t);
  put(i.z, 3, A);
  const r = i.z.pin(0, 3);
  let looks = 0;
  const drained = drain(i, ends);
  while (looks++ < 5) await turn();
  t.strictSame(i.image.page(3).slice(), new Uint8Array(4096));
  i.z.unpin(r);
  t.strictSame(await drained, { errno: 0, failed: 0 });
  t.strictSame(i.image.page(3).slice(), A);
});

t.test('more pages than there are buffers are drained all the same', async (t) => {
  const i = imageThread(t, { buffers: 8 });
  for (let slot = 0; slot < 300; slot++) put(i.z, slot * 3, makePage('text', slot));
  t.strictSame(await drain(i, ends), { errno: 0, failed: 0 });
  for (let slot = 0; slot < 300; slot++) {
    if (!Buffer.from(makePage('text', slot)).equals(i.image.page(slot * 3))) t.fail(`slot ${slot * 3}`);
  }
});

t.test('what the image refused is not among what a drain has done', async (t) => {
  const i = imageThread(t);
  for (const slot of [3, 8, 11]) put(i.z, slot, A);
  const seen: number[][] = [];
  let ended = false;
  i.shrinker.drain(
    0,
    (...progress) => void seen.push(progress),
    () => {
      ended = true;
    },
  );
  while (!ended) {
    i.look();
    if (i.image.calls.length > 0) fails(i);
    await turn();
  }
  t.ok(seen.length > 0);
  for (const progress of seen) t.strictSame(progress, [0, 3, 3]);
});

t.test('a slot that was lost before is no failure of the drain, which has nothing to write there', async (t) => {
  const i = imageThread(t);
  for (const slot of [3, 8]) put(i.z, slot, A);
  i.z.lose(0, 8);
  t.strictSame(await drain(i, ends), { errno: 0, failed: 0 });
});
