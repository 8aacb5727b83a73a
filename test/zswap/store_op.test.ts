// A WRITE that the pool rejects: the image first, the old page second; what is left of the slot when the image fails it.
import { NBD_EIO, NBD_ENOSPC, NBD_ESHUTDOWN } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { testBit } from '#src/pool/bits.js';
import { takenBuffers } from '#src/pool/buffers.js';
import { CTL } from '#src/pool/shared.js';
import { EEXIST } from '#src/pool/slots.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { makePage, take } from '../support/pool.ts';
import { ShrinkerBench, type Write } from '../support/shrinker_bench.ts';

const SLOT = 7;
const exports = [{ name: 'a', pages: 1024, memcg: 0 }];
const old = makePage('text', 1);
const rejected = makePage('random', 2);

/** A bench that rejects pages of noise. */
const bench = (t: Test): ShrinkerBench => new ShrinkerBench(t, { exports, storeIncompressible: false });

/** Tens of bytes as an object. */
const small = (slot: number): Buffer => {
  const page = Buffer.alloc(4096);
  page.writeUInt32LE(slot + 1);
  return page;
};

const users = (b: ShrinkerBench) => testBit(b.shared.users, 0, SLOT);

/** The rejected page of SLOT, whose image write is under way. */
function writeRejected(b: ShrinkerBench): Write {
  const write = b.write(SLOT, rejected);
  b.look();
  return write;
}

/** The image ends its oldest call, the lane hears of it, and the shrinker of what the lane orders next. */
function endCall(b: ShrinkerBench, errno = 0): void {
  b.images[0].end(errno);
  b.look();
  b.shrinker.look();
}

const reads = (b: ShrinkerBench): unknown => {
  const { result, page } = take(b.lanes[1].zswap, SLOT);
  return result === LOADED ? (Buffer.from(page).equals(old) ? 'old' : 'other') : result;
};

t.test('the old page is dropped when the image has the new one, and not before', async (t) => {
  const b = bench(t);
  b.write(SLOT, old);
  const write = writeRejected(b);
  t.strictSame(b.images[0].underway, [`write ${SLOT}+1`]);
  t.equal(write.errno, null);
  t.equal(b.shared.lru.count[1], 1, 'the old page is still there');
  t.equal(b.lanes[1].zswap.tryPin(0, SLOT), EEXIST, 'and nobody reads the slot meanwhile');
  endCall(b);
  t.equal(write.errno, 0);
  t.equal(b.shared.lru.count[1], 0);
  t.equal(reads(b), ON_IMAGE);
  t.ok(Buffer.from(b.images[0].page(SLOT)).equals(rejected));
  t.equal(takenBuffers(b.shared.requestBuffers), 0);
});

t.test('where the image fails, the error is answered and the old page stays', async (t) => {
  const b = bench(t);
  b.write(SLOT, old);
  const write = writeRejected(b);
  endCall(b, NBD_EIO);
  t.equal(write.errno, NBD_EIO);
  t.equal(reads(b), 'old');
  t.strictSame([b.count('lost_pages'), takenBuffers(b.shared.requestBuffers)], [0, 0]);
});

t.test('where the old page was on the image only, its slot is lost until it is written again', async (t) => {
  const b = bench(t);
  writeRejected(b);
  endCall(b);
  const write = writeRejected(b);
  endCall(b, NBD_EIO);
  t.equal(write.errno, NBD_EIO);
  t.equal(reads(b), LOAD_FAILED, 'the write may have been torn');
  t.equal(b.count('lost_pages'), 1);
  const again = writeRejected(b);
  endCall(b, NBD_EIO);
  t.equal(again.errno, NBD_EIO);
  t.equal(b.count('lost_pages'), 1, 'a slot is lost once');
  const last = writeRejected(b);
  endCall(b);
  t.equal(last.errno, 0);
  t.equal(reads(b), ON_IMAGE);
});

t.test('where the slot was never written, a hole brings its zeros back', async (t) => {
  const b = bench(t);
  const write = writeRejected(b);
  endCall(b, NBD_EIO);
  t.strictSame(b.images[0].underway, [`punch ${SLOT}+1`]);
  t.strictSame([write.errno, users(b)], [null, true], 'nobody may take it for a hole before it is one');
  endCall(b);
  t.strictSame([write.errno, users(b), b.count('lost_pages')], [NBD_EIO, false, 0]);
});

t.test('where that fails too, the slot is lost', async (t) => {
  const b = bench(t);
  const write = writeRejected(b);
  endCall(b, NBD_EIO);
  endCall(b, NBD_EIO);
  t.strictSame([write.errno, users(b), b.count('lost_pages')], [NBD_EIO, true, 1]);
  t.equal(reads(b), LOAD_FAILED);
});

for (const [onReject, rawMaxBytes, first, second] of [
  ['raw', 4096, 0, NBD_ENOSPC],
  ['fail', 4096, NBD_ENOSPC, NBD_ENOSPC],
] as const) {
  t.test(`without writeback a rejected page never goes to the image: ${onReject}`, async (t) => {
    const memcgs = [{ name: 'm', max: Number.MAX_SAFE_INTEGER, writeback: false }];
    const b = new ShrinkerBench(t, {
      exports,
      memcgs,
      storeIncompressible: false,
      rawMaxBytes,
      rawOnReject: onReject === 'raw',
    });
    t.strictSame([b.write(SLOT, rejected).errno, b.write(SLOT + 1, rejected).errno], [first, second]);
    t.strictSame([users(b), testBit(b.shared.users, 0, SLOT + 1)], [first === 0, false]);
    b.look();
    t.strictSame(b.images[0].underway, []);
  });
}

t.test('at its memcg limit, without writeback: the page is kept raw, or its slot is what it was', async (t) => {
  for (const rawOnReject of [true, false]) {
    const memcgs = [{ name: 'm', max: 1, writeback: false }];
    const b = new ShrinkerBench(t, { exports, memcgs, rawOnReject });
    t.equal(b.write(1, old).errno, 0);
    const write = b.write(SLOT, old);
    t.equal(write.errno, null);
    b.look();
    t.equal(write.errno, rawOnReject ? 0 : NBD_ENOSPC);
    t.equal(users(b), rawOnReject);
    t.equal(reads(b), rawOnReject ? 'old' : ON_IMAGE);
    t.strictSame([takenBuffers(b.shared.requestBuffers), b.count('reject_memcg_limit')], [0, 1]);
  }
});

t.test('a pool that others have filled takes raw pages up to their bound, whatever they are', async (t) => {
  for (const kind of ['text', 'random', 'same'] as const) {
    const memcgs = ['others', 'm'].map((name) => ({ name, max: Number.MAX_SAFE_INTEGER, writeback: false }));
    const two = ['a', 'b'].map((name, x) => ({ name, pages: 65_536, memcg: x }));
    const over = { poolBytes: 2 ** 20, acceptBytes: 2 ** 20, rawMaxBytes: 40 * 4096 };
    const b = new ShrinkerBench(t, { exports: two, memcgs, ...over });
    let slot = 0;
    while (b.write(slot, makePage('text', slot), 0).errno === 0 && b.shared.control[CTL.KEPT_RAW] === 0) slot++;
    for (let i = 0; i < 39; i++) t.equal(b.write(i, makePage(kind, i), 1).errno, 0, `${kind}, page ${i}`);
    t.equal(b.write(39, makePage(kind, 39), 1).errno, NBD_ENOSPC);
  }
});

t.test('raw pages take no room of the pool from others', async (t) => {
  const memcgs = ['keeps', 'others'].map((name) => ({
    name,
    max: Number.MAX_SAFE_INTEGER,
    writeback: name === 'others',
  }));
  const two = ['a', 'b'].map((name, x) => ({ name, pages: 65_536, memcg: x }));
  const b = new ShrinkerBench(t, {
    ...{ exports: two, memcgs, storeIncompressible: false },
    ...{ poolBytes: 2 ** 20, acceptBytes: 2 ** 20 - 65_536, rawMaxBytes: 2 ** 22 },
  });
  for (let i = 0; i < 100; i++) t.equal(b.write(i, makePage('text', i), 1).errno, 0);
  for (let i = 0; i < 1000; i++) t.equal(b.write(i, makePage('random', i), 0).errno, 0);
  for (let i = 0; i < 20; i++) b.look();
  t.equal(b.count('written_back_pages'), 0, 'none of theirs was written back for it');
  for (let i = 100; i < 200; i++) t.equal(b.write(i, makePage('text', i), 1).errno, 0);
  t.equal(b.count('reject_pool_limit'), 0);
});

t.test('a table of entries that small pages have filled has room for raw ones', async (t) => {
  const memcgs = ['others', 'm'].map((name) => ({ name, max: Number.MAX_SAFE_INTEGER, writeback: false }));
  const two = ['a', 'b'].map((name, x) => ({ name, pages: 100_000, memcg: x }));
  const b = new ShrinkerBench(t, {
    exports: two,
    memcgs,
    poolBytes: 2 ** 23,
    acceptBytes: 2 ** 23,
    rawMaxBytes: 8 * 4096,
  });
  let slot = 0;
  while (b.write(slot, small(slot), 0).errno === 0 && b.shared.control[CTL.KEPT_RAW] === 0) slot++;
  t.ok(b.count('reject_kmemcache_fail') > 0, 'because the table was full');
  for (let i = 0; i < 7; i++) t.equal(b.write(i, makePage('random', i), 1).errno, 0);
  t.equal(b.write(7, makePage('random', 7), 1).errno, NBD_ENOSPC);
});

t.test(
  'a page of an ended connection that waits at the limit is dropped; one on its way to the image is not',
  async (t) => {
    const limited = new ShrinkerBench(t, { exports, memcgs: [{ name: 'm', max: 1, writeback: true }] });
    limited.write(1, old);
    const waiting = limited.write(SLOT, old);
    waiting.gone = true;
    limited.look();
    t.strictSame([waiting.errno, users(limited)], [NBD_ESHUTDOWN, false]);
    const b = bench(t);
    const published = writeRejected(b);
    published.gone = true;
    endCall(b);
    t.equal(published.errno, 0);
    t.ok(Buffer.from(b.images[0].page(SLOT)).equals(rejected));
  },
);

t.test('a page that finds no buffer waits for one, holding nothing', async (t) => {
  const b = new ShrinkerBench(t, { exports, storeIncompressible: false, buffers: 2 });
  const writes = [1, 2, 3].map((slot) => b.write(slot, rejected));
  t.equal(takenBuffers(b.shared.requestBuffers), 2);
  const r = b.lanes[1].zswap.tryPin(0, 3);
  t.ok(r > 0, 'its slot is free for others');
  b.lanes[1].zswap.unpin(r);
  b.finish(writes);
  t.strictSame(
    writes.map(({ errno }) => errno),
    [0, 0, 0],
  );
  t.ok(Buffer.from(b.images[0].page(3)).equals(rejected));
});
