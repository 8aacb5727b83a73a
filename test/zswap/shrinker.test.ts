// The shrinker's worker: who asks for it, what it takes and from whom, when it rests, and that it never spins.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { poolTotal } from '#src/pool/allocator/index.js';
import { ZSPAGE_BYTES } from '#src/pool/allocator/size_classes.js';
import { CTL, WORK } from '#src/pool/shared.js';
import { checkLists, MIB, makePage, put, take } from '../support/pool.ts';
import { ShrinkerBench } from '../support/shrinker_bench.ts';

const NO_LIMIT = Number.MAX_SAFE_INTEGER;
const asked = ({ shared }: ShrinkerBench): number => shared.control[CTL.WORK];
const two = [0, 1].map((x) => ({ name: `${x}`, pages: 4096, memcg: x }));
const one = [{ name: 'a', pages: 4096, memcg: 0 }];
const free = (name: string) => ({ name, max: NO_LIMIT, writeback: true });

/** Lets turns that are scheduled run; answers how many victims they have tried. */
async function turns(b: ShrinkerBench, count = 20): Promise<number> {
  const tried = (): number => b.count('written_back_pages') + b.count('reject_reclaim_fail');
  const before = tried();
  for (let i = 0; i < count; i++) await nextTurn();
  return tried() - before;
}

/** Stores pages of noise, slots from `from` on, until the pool takes no more; answers the slot behind. */
function fill(b: ShrinkerBench, x = 0, from = 0): number {
  for (let slot = from; ; slot++) if (b.write(slot, makePage('random', slot), x).errno === null) return slot;
}

t.test('a store that finds the pool full has pages written back, down to the accept threshold', async (t) => {
  const b = new ShrinkerBench(t, { exports: one, buffers: 4096 });
  t.equal(asked(b), 0);
  const end = fill(b);
  t.equal(asked(b), WORK.POOL);
  t.equal(poolTotal(b.shared.zs), b.shared.settings.poolBytes);
  for (let i = 0; asked(b) !== 0 && i < 100; i++) b.look();
  t.equal(asked(b), 0);
  const { acceptBytes } = b.shared.settings;
  t.ok(poolTotal(b.shared.zs) <= acceptBytes, 'it rests at the threshold');
  t.ok(poolTotal(b.shared.zs) > acceptBytes - MIB / 2, 'and not far below it');
  t.equal(await turns(b), 0);
  t.strictSame(take(b.z, 0).page, makePage('random', 0), 'a page on its way is read from there');
  b.images[0].endAll();
  t.ok(Buffer.from(b.images[0].page(0)).equals(makePage('random', 0)), 'the coldest went first');
  t.equal(b.write(end + 1, makePage('random', 1)).errno, 0, 'there is room again');
  checkLists(b.shared);
});

t.test('where the threshold is the limit itself, whoever asks gets a batch', async (t) => {
  const b = new ShrinkerBench(t, { exports: one, acceptBytes: 4 * MIB, buffers: 256 });
  fill(b);
  b.look();
  t.equal(b.count('written_back_pages'), 32);
  t.equal(asked(b), 0);
});

t.test('pages of a memcg that may not write back stay, and those of others go', async (t) => {
  const memcgs = [{ name: 'kept', max: NO_LIMIT, writeback: false }, free('free')];
  const b = new ShrinkerBench(t, { exports: two, memcgs, buffers: 4096 });
  for (let slot = 0; slot < 256; slot++) b.write(slot, makePage('random', slot), 0);
  const kept = b.shared.lru.count[1];
  fill(b, 1);
  for (let i = 0; asked(b) !== 0 && i < 100; i++) b.look();
  t.equal(b.shared.lru.count[1], kept);
  t.strictSame(b.images[0].underway, []);
  t.ok(b.count('written_back_pages') > 0);
  t.ok(b.images[1].underway.length > 0);
});

t.test('where no memcg may write back the worker looks once and rests', async (t) => {
  const b = new ShrinkerBench(t, { exports: one, memcgs: [{ name: 'm', max: NO_LIMIT, writeback: false }] });
  put(b.z, 1, makePage('text', 1));
  b.shared.control[CTL.WORK] = WORK.POOL | WORK.ENTRIES;
  b.look();
  t.equal(asked(b), 0);
  t.equal(b.count('written_back_pages'), 0);
});

t.test('memcgs give in turn, a batch each', async (t) => {
  const b = new ShrinkerBench(t, { exports: two, memcgs: [free('a'), free('b')], buffers: 4096 });
  for (let slot = 0; slot < 200; slot++) for (const x of [0, 1]) b.write(slot, makePage('random', slot), x);
  fill(b, 1, 200);
  const before = [...b.shared.lru.count];
  b.shrinker.look();
  t.strictSame([before[1] - b.shared.lru.count[1], before[2] - b.shared.lru.count[2]], [128, 128]);
});

t.test(
  'while both images stall the worker waits without trying, and goes on with the one that comes back',
  async (t) => {
    const b = new ShrinkerBench(t, { exports: two, memcgs: [free('a'), free('b')], buffers: 256, acceptBytes: MIB });
    for (let slot = 0; slot < 500; slot++) b.write(slot, makePage('random', slot), 0);
    fill(b, 1);
    for (let i = 0; i < 10; i++) b.shrinker.look();
    t.ok(asked(b) > 0, 'there is more to do');
    t.equal(await turns(b), 0, 'but both images are behind');
    const stalled = b.images[0].calls.length;
    const left = b.shared.lru.count[2];
    for (let i = 0; i < 20; i++) {
      b.images[1].endAll();
      b.shrinker.look();
    }
    t.equal(b.images[0].calls.length, stalled);
    t.ok(left - b.shared.lru.count[2] > 64, 'the other one goes on');
    b.images[0].endAll();
    await turns(b);
    t.ok(b.images[0].calls.length > 0, 'the end of a call wakes the worker');
  },
);

t.test('exports of one memcg: pages of a stalled one are passed by', async (t) => {
  const exports = two.map((x) => ({ ...x, memcg: 0 }));
  const b = new ShrinkerBench(t, { exports, memcgs: [free('m')], buffers: 128 });
  for (let slot = 0; slot < 400; slot++) b.write(slot, makePage('random', slot), 0);
  fill(b, 1);
  let written = 0;
  for (let i = 0; i < 100; i++) {
    b.shrinker.look();
    written += b.images[1].calls.length;
    b.images[1].endAll();
  }
  t.ok(written > 0, 'the other one is written back');
  t.ok((await turns(b)) === 0);
});

t.test('pages that are in use are given up after a while, and another store asks again', async (t) => {
  const b = new ShrinkerBench(t, { exports: one, buffers: 256 });
  const end = fill(b);
  const pins = Array.from({ length: end }, (_, slot) => b.lanes[1].zswap.tryPin(0, slot));
  for (let i = 0; asked(b) !== 0 && i < 1000; i++) b.shrinker.look();
  t.equal(asked(b), 0);
  t.equal(b.count('written_back_pages'), 0);
  t.equal(b.count('writeback_busy'), 16 * 32);
  t.equal(await turns(b), 0);
  for (const r of pins) if (r > 0) b.lanes[1].zswap.unpin(r);
  b.write(end + 1, makePage('random', 1));
  b.shrinker.look();
  t.ok(b.count('written_back_pages') > 0);
});

t.test('holes that writeback leaves are compacted, and free memory goes back to the system', async (t) => {
  const b = new ShrinkerBench(t, { exports: one, poolBytes: 16 * MIB, acceptBytes: 15 * MIB });
  for (let slot = 0; slot < 3600; slot++) b.write(slot, makePage('random', slot));
  const full = poolTotal(b.shared.zs);
  for (let slot = 0; slot < 3600; slot++) if (slot % 8 !== 0) b.z.invalidate(0, slot);
  t.equal(poolTotal(b.shared.zs), full, 'each zspage keeps a page');
  while (b.count('trimmed_zspages') === 0) await nextTurn();
  t.ok(b.count('compacted_zspages') > 0);
  t.ok(poolTotal(b.shared.zs) < full);
  t.ok(b.released.length > 0 && b.released.every((bytes) => bytes === ZSPAGE_BYTES));
  for (let slot = 0; slot < 3600; slot += 8) {
    if (!Buffer.from(take(b.z, slot).page).equals(makePage('random', slot))) t.fail(`slot ${slot}`);
  }
});

t.test('a page that does not compress asks for room only while the pool is above its threshold', async (t) => {
  const b = new ShrinkerBench(t, { exports: one, storeIncompressible: false });
  b.write(1, makePage('random', 1));
  t.equal(asked(b), 0);
  for (let slot = 2; poolTotal(b.shared.zs) <= b.shared.settings.acceptBytes; slot++)
    b.write(slot, makePage('text', slot));
  t.equal(asked(b), 0);
  b.write(1, makePage('random', 2));
  b.write(0, makePage('random', 2));
  t.equal(asked(b), WORK.POOL);
});

t.test('a shrinker that is closed lets go of every image', async (t) => {
  const b = new ShrinkerBench(t, { exports: two, memcgs: [free('a'), free('b')] });
  const closed: number[] = [];
  for (const [x, image] of b.images.entries()) image.close = () => closed.push(x);
  b.shrinker.close();
  t.strictSame(closed, [0, 1]);
});
