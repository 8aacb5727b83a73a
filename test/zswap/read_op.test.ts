// A READ that the image has a part in: which slots are read together, what is pinned meanwhile, and how it ends.
import { NBD_EIO } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { clearBit, setBit } from '#src/pool/bits.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { EEXIST } from '#src/pool/slots.js';
import { SHOWN } from '#src/server/counters.js';
import { sum } from '#src/shm/counters.js';
import { Bench, Request } from '../support/lane.ts';
import { freeRecords, makePage, put } from '../support/pool.ts';

/** Slots [first, end) are in use and only on the image. */
function onImage(b: Bench, first: number, end: number): void {
  for (let slot = first; slot < end; slot++) {
    setBit(b.z.shared.users, 0, slot);
    b.pages.set(slot, makePage('text', slot));
  }
}

/** Starts a READ of slots [first, first + count) into the middle of a buffer. */
function read(b: Bench, first: number, count: number) {
  const request = new Request();
  const dst = new Uint8Array((count + 2) * PAGE_SIZE).fill(0x55);
  b.volume.read(request, first, count, dst, PAGE_SIZE);
  b.run();
  return { request, page: (i: number) => Buffer.from(dst.subarray((i + 1) * PAGE_SIZE, (i + 2) * PAGE_SIZE)) };
}

const counted = (b: Bench, name: string) => sum(b.z.shared.counters, SHOWN.all[name]);
/** Nobody holds a pin any more. */
function unpinned(t: Test, b: Bench): void {
  t.equal(freeRecords(b.z.shared.slotTable), b.z.shared.slotTable.next.length - 1, 'no pin is left');
}

for (const heuristic of ['none', 'protected', 'second-chance'] as const) {
  t.test(`pages that came from the image count as swap-ins of their memcg, heuristic ${heuristic}`, async (t) => {
    const b = new Bench({ heuristic });
    onImage(b, 10, 13);
    put(b.z, 13, makePage('text', 13));
    const before = b.z.lru.heldBack[1];
    read(b, 10, 4);
    t.equal(b.z.lru.heldBack[1], before, 'not before they are there');
    b.arrive();
    t.equal(b.z.lru.heldBack[1] - before, heuristic === 'none' ? 0 : 3);
  });
}

t.test('pages of ranges count for the memcgs of their ranges', async (t) => {
  const memcgs = ['own', 'range'].map((name) => ({ name, max: Number.POSITIVE_INFINITY, writeback: true }));
  const ranges = [{ first: 11, end: 13, memcg: 1 }];
  const b = new Bench({ heuristic: 'protected', memcgs, exports: [{ name: 'e', pages: 1000, memcg: 0, ranges }] });
  onImage(b, 10, 14);
  read(b, 10, 4);
  b.arrive();
  t.strictSame([...b.z.lru.heldBack.subarray(1, 3)], [2, 2]);
});

t.test('adjacent slots of the image are read in one run and pinned until the bytes are there', async (t) => {
  const b = new Bench();
  onImage(b, 10, 13);
  const { request, page } = read(b, 10, 3);
  t.match(b.reading, [{ slot: 10, count: 3, at: PAGE_SIZE }]);
  t.strictSame(
    [10, 11, 12].map((slot) => b.z.tryPin(0, slot)),
    [EEXIST, EEXIST, EEXIST],
  );
  t.strictSame(request.ended, []);
  b.arrive();
  t.strictSame(request.ended, [0]);
  for (let i = 0; i < 3; i++) t.ok(page(i).equals(makePage('text', 10 + i)));
  t.ok(page(-1).every((byte) => byte === 0x55) && page(3).every((byte) => byte === 0x55), 'nothing beside it');
  t.equal(counted(b, 'image_reads'), 3, 'counted by pages');
  unpinned(t, b);
});

t.test('a run has at most 64 slots; the rest comes in the next', async (t) => {
  const b = new Bench();
  onImage(b, 0, 65);
  const { request, page } = read(b, 0, 65);
  t.match(b.reading, [{ slot: 0, count: 64 }]);
  b.arrive();
  t.match(b.reading, [{ slot: 64, count: 1, at: 65 * PAGE_SIZE }]);
  t.strictSame(request.ended, []);
  b.arrive();
  t.strictSame(request.ended, [0]);
  for (let i = 0; i < 65; i++) if (!page(i).equals(makePage('text', i))) t.fail(`page ${i}`);
  unpinned(t, b);
});

t.test('a run ends at a slot of the pool, at an unused one and at a pinned one', async (t) => {
  const b = new Bench();
  onImage(b, 0, 6);
  put(b.z, 1, makePage('text', 100));
  clearBit(b.z.shared.users, 0, 3);
  const { request, page } = read(b, 0, 6);
  t.match(b.reading, [{ slot: 0, count: 1 }]);
  t.ok(b.z.tryPin(0, 1) > 0, 'the page of the pool is not kept pinned');
  b.z.unpin(recordOf(b, 1));
  b.arrive();
  t.match(b.reading, [{ slot: 2, count: 1 }]);
  const other = b.z.tryPin(0, 5);
  b.arrive();
  t.match(b.reading, [{ slot: 4, count: 1 }], 'slot 3 reads as zeros, slot 5 is somebody else’s');
  b.arrive();
  t.strictSame([b.reading.length, request.ended.length], [0, 0]);
  t.equal(counted(b, 'parks'), 1);
  b.look();
  t.equal(counted(b, 'parks'), 1, 'a request that waits is counted once');
  b.z.unpin(other);
  b.look();
  t.match(b.reading, [{ slot: 5, count: 1 }]);
  b.arrive();
  t.strictSame(request.ended, [0]);
  t.ok(page(1).equals(makePage('text', 100)));
  t.ok(page(3).every((byte) => byte === 0));
  for (const i of [0, 2, 4, 5]) t.ok(page(i).equals(makePage('text', i)));
  t.equal(counted(b, 'zero_reads'), 1);
  unpinned(t, b);
});

function recordOf(b: Bench, slot: number): number {
  const { t } = b.z.slots;
  return t.slot.findIndex((s, r) => s === slot && t.locked[r] !== 0);
}

t.test('slots that nobody wrote read as zeros, also where the image holds something', async (t) => {
  const b = new Bench();
  b.pages.set(3, makePage('text', 3));
  const { request, page } = read(b, 2, 3);
  t.strictSame(request.ended, [0]);
  for (let i = 0; i < 3; i++) t.ok(page(i).every((byte) => byte === 0));
  t.equal(counted(b, 'zero_reads'), 3);
});

t.test('an image that fails ends the READ with EIO and lets the slots go', async (t) => {
  const b = new Bench();
  onImage(b, 0, 70);
  const { request } = read(b, 0, 70);
  b.arrive(5);
  t.strictSame(request.ended, [NBD_EIO]);
  t.equal(b.reading.length, 0, 'nothing more is read for it');
  t.equal(counted(b, 'image_read_errors'), 1);
  unpinned(t, b);
});

for (const at of [0, 1, 2]) {
  t.test(`with the oracle, page ${at} of a run that is not the last one stored fails the READ`, async (t) => {
    const b = new Bench({ checksums: true });
    onImage(b, 0, 3);
    for (let slot = 0; slot < 3; slot++)
      b.z.sums.note(0, slot, b.z.codec.sumOf(makePage('text', slot === at ? 50 : slot)));
    const { request } = read(b, 0, 3);
    b.arrive();
    t.strictSame(request.ended, [NBD_EIO]);
    t.equal(counted(b, 'checksum_mismatch'), 1);
    unpinned(t, b);
  });
}

t.test('a lost slot ends the READ with EIO, alone or behind others', async (t) => {
  const b = new Bench();
  onImage(b, 0, 3);
  setBit(b.z.shared.lost, 0, 2);
  t.strictSame(read(b, 2, 1).request.ended, [NBD_EIO]);
  const { request } = read(b, 0, 3);
  t.match(b.reading, [{ slot: 0, count: 2 }]);
  b.arrive();
  t.strictSame(request.ended, [NBD_EIO]);
  unpinned(t, b);
});

t.test('what can be read without the image is read at once, up to the first slot that can’t', async (t) => {
  const b = new Bench();
  const dst = new Uint8Array(5 * PAGE_SIZE).fill(0x55);
  for (const slot of [1, 2, 4]) put(b.z, slot, makePage('text', slot));
  t.equal(b.volume.readNow(0, 4, dst, PAGE_SIZE), 4);
  t.ok(dst.subarray(0, PAGE_SIZE).every((byte) => byte === 0x55));
  t.ok(dst.subarray(PAGE_SIZE, 2 * PAGE_SIZE).every((byte) => byte === 0));
  t.ok(Buffer.from(dst.subarray(3 * PAGE_SIZE, 4 * PAGE_SIZE)).equals(makePage('text', 2)));
  onImage(b, 3, 4);
  t.equal(b.volume.readNow(1, 4, dst, 0), 2);
  const r = b.z.tryPin(0, 2);
  t.equal(b.volume.readNow(1, 2, dst, 0), 1, 'a pinned slot is for later');
  b.z.unpin(r);
  setBit(b.z.shared.lost, 0, 1);
  t.equal(b.volume.readNow(1, 2, dst, 0), 0);
  unpinned(t, b);
});
