// Threads of libuv's pool for calls on images: shared out so that images that stall leave some to the others.
import t from 'tap';
import { imageBudget, poolTooSmall } from '#src/server/budget.js';

const NOTHING = { scrub: false, strict: false };

const budget = (lanes: number, images: number, size?: string) =>
  imageBudget(lanes, images, size === undefined ? {} : { UV_THREADPOOL_SIZE: size }, NOTHING);

t.test('a quarter is for the queues, half for reads, over images and lanes', async (t) => {
  t.strictSame(budget(2, 1, '32'), { writes: 8, reads: 8, stalled: 0 });
  t.strictSame(budget(2, 2, '32'), { writes: 4, reads: 4, stalled: 1 });
  t.strictSame(budget(0, 4, '32'), { writes: 2, reads: 4, stalled: 3 });
});

t.test('the shares of all images together leave a quarter, as long as each is more than the least', async (t) => {
  for (const [lanes, images] of [
    [1, 1],
    [2, 4],
    [4, 4],
    [2, 8],
  ]) {
    const { writes, reads, stalled } = budget(lanes, images, '64');
    t.ok(images * (writes + reads * lanes) <= 48);
    t.equal(stalled, images - 1);
  }
});

t.test('with more images than threads it says how many may stall', async (t) => {
  t.strictSame(budget(2, 16, '32'), { writes: 1, reads: 1, stalled: 10 });
  t.strictSame(budget(4, 2), { writes: 1, reads: 1, stalled: 0 }, "Node's default of 4 is too small for this");
  t.strictSame(budget(1, 2, 'many'), { writes: 1, reads: 1, stalled: 1 });
});

t.test('no more threads are shared out than libuv makes', async (t) => {
  const most = imageBudget(2, 8, { UV_THREADPOOL_SIZE: '1024' }, NOTHING);
  t.same(imageBudget(2, 8, { UV_THREADPOOL_SIZE: '100000' }, NOTHING), most);
});

t.test('what is too small is said with what is enough', async (t) => {
  const said = (lanes: number, images: number, size?: string) =>
    poolTooSmall(budget(lanes, images, size), lanes, images, NOTHING);
  const start = 'UV_THREADPOOL_SIZE is too small for this many images';
  t.equal(
    said(4, 2),
    `${start}: if any of them stalls, the others wait for threads; 32, as scripts/serve sets, is enough`,
  );
  t.equal(
    said(2, 16, '32'),
    `${start}: if more than 10 of them stall at once, the others wait for threads; 46 is enough`,
  );
  t.equal(budget(2, 16, '46').stalled, 15);
  t.equal(budget(2, 16, '45').stalled, 14);
  t.equal(
    said(16, 64),
    `${start}: if any of them stalls, the others wait for threads; fewer lanes or exports need fewer`,
    'libuv makes no more than 1024',
  );
});

t.test('a scrub takes a thread of its own, and in strict the marker of each image may take one', async (t) => {
  const stalled = (scrub: boolean, strict: boolean) => imageBudget(2, 2, {}, { scrub, strict }).stalled;
  t.same([stalled(false, false), stalled(true, false), stalled(false, true)], [1, 0, 0]);
});
