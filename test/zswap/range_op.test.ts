// TRIM and WRITE_ZEROES over slots: slices, claims, pins inside, what is punched, and what a failed punch leaves.
import { NBD_EIO, NBD_ESHUTDOWN } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { countBits, setBit, testBit } from '#src/pool/bits.js';
import { release } from '#src/pool/claims.js';
import { STATE } from '#src/pool/export_state.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { EEXIST } from '#src/pool/slots.js';
import { C } from '#src/zswap/counters.js';
import { LOAD_FAILED, ON_IMAGE } from '#src/zswap/loads.js';
import { ORDER } from '#src/zswap/orders.js';
import { Bench, Request } from '../support/lane.ts';
import { held, makePage, put, standing, take } from '../support/pool.ts';
import { bench, claims, PAGES, punchAll, trim, zero } from '../support/ranges.ts';

const used = (b: Bench) => countBits(b.z.shared.users, 0, PAGES);

t.test('a range goes slice by slice, each to the next multiple, and ends after the last', async (t) => {
  const b = bench();
  for (const slot of [500, 511, 512, 1023, 1024, 1200]) put(b.z, slot, makePage('text', slot));
  const request = trim(b, 500, 1100);
  t.equal(claims(b), 1);
  t.strictSame(request.ended, []);
  t.strictSame(punchAll(b), [
    [ORDER.PUNCH, 500, 12],
    [ORDER.PUNCH, 512, 512],
    [ORDER.PUNCH, 1024, 76],
  ]);
  t.strictSame(request.ended, [0]);
  t.equal(claims(b), 0);
  t.equal(used(b), 1, 'the one behind the range');
  t.equal(held(b.z.shared).entries, 1);
  t.equal(b.z.counters[C.invalidates], 5);
});

t.test('a slice starts at the first slot in use, and one without any is skipped', async (t) => {
  const b = bench();
  put(b.z, 1030, makePage('text', 1));
  const request = trim(b, 0, PAGES);
  t.strictSame(punchAll(b), [[ORDER.PUNCH, 1030, 506]]);
  t.strictSame(request.ended, [0]);
  t.strictSame(trim(b, 0, PAGES).ended, [0], 'an empty export is done at once');
  t.strictSame(punchAll(b), []);
});

t.test('the last slot of an export that is no multiple of a slice is trimmed, and nothing behind it', async (t) => {
  const b = new Bench({ exports: [{ name: 'a', pages: 513, memcg: 0 }] });
  put(b.z, 512, makePage('text', 1));
  const request = trim(b, 512, 513);
  t.strictSame(punchAll(b), [[ORDER.PUNCH, 512, 1]]);
  t.strictSame(request.ended, [0]);
  t.equal(take(b.z, 512).result, ON_IMAGE);
});

t.test('while a slice is punched nobody pins in it, and everybody beside it', async (t) => {
  const b = bench();
  put(b.z, 10, makePage('text', 1));
  put(b.z, 19, makePage('text', 1));
  trim(b, 10, 20);
  t.strictSame([b.z.tryPin(0, 10), b.z.tryPin(0, 19)], [EEXIST, EEXIST]);
  for (const slot of [9, 20]) {
    const r = b.z.tryPin(0, slot);
    t.ok(r > 0);
    b.z.unpin(r);
  }
  punchAll(b);
  t.ok(b.z.tryPin(0, 10) > 0);
});

for (const slot of [10, 14, 19]) {
  t.test(`a pin that slot ${slot} of the range has is waited for, and its page is trimmed after it`, async (t) => {
    const b = bench();
    put(b.z, 10, makePage('text', 1));
    put(b.z, slot, makePage('text', 1));
    const r = b.z.tryPin(0, slot);
    const request = trim(b, 10, 20);
    t.strictSame(b.orders(), []);
    t.equal(b.z.counters[C.parks], 1);
    t.ok(testBit(b.z.shared.users, 0, slot), 'nothing is taken away under the pin');
    b.look();
    t.equal(b.z.counters[C.parks], 1);
    const box = b.z.shared.boxes[b.z.thread];
    b.z.unpin(r);
    t.ok(b.z.shared.boxes[b.z.thread] > box, 'the lane is woken');
    b.look();
    punchAll(b);
    t.strictSame(request.ended, [0]);
    t.equal(used(b), 0);
  });
}

t.test('a range that overlaps a claimed one waits for it', async (t) => {
  const b = bench();
  put(b.z, 10, makePage('text', 1));
  const row = standing(b.z.shared.claims, 0, 19, 30, 1);
  const request = trim(b, 10, 20);
  t.strictSame([b.orders().length, b.z.counters[C.parks]], [0, 1]);
  release(b.z.shared.claims, row, b.z.shared.boxes);
  t.equal(b.z.shared.boxes[b.z.thread], 1);
  b.look();
  punchAll(b);
  t.strictSame(request.ended, [0]);
});

/** Nothing was changed and nothing is held. */
function untouched(t: Test, b: Bench, request: Request): void {
  t.strictSame(request.ended, [NBD_ESHUTDOWN]);
  t.strictSame(b.orders(), []);
  t.equal(claims(b), 0);
  t.ok(testBit(b.z.shared.users, 0, 10));
  t.equal(held(b.z.shared).entries, 1);
}

t.test('a slice of an ended connection is dropped and counted', async (t) => {
  const b = bench();
  put(b.z, 10, makePage('text', 1));
  const request = new Request();
  request.gone = true;
  b.volume.trim(request, 10 * PAGE_SIZE, PAGE_SIZE);
  b.run();
  untouched(t, b, request);
  t.equal(b.z.counters[C.fenced_units], 1);
});

t.test('of a connection that ends meanwhile, the slice that has begun is completed and no other', async (t) => {
  const b = bench();
  for (const slot of [10, 600]) put(b.z, slot, makePage('text', 1));
  const request = trim(b, 0, PAGES);
  request.gone = true;
  t.strictSame(punchAll(b), [[ORDER.PUNCH, 10, 502]]);
  t.strictSame(request.ended, [NBD_ESHUTDOWN]);
  t.ok(testBit(b.z.shared.users, 0, 600));
  t.equal(claims(b), 0);
});

t.test('what a swapoff has emptied, and the image still has, is no trim that is done', async (t) => {
  const b = bench();
  b.z.shared.states[0] = STATE.SWAPPING_OFF;
  t.strictSame(trim(b, 10, 20).ended, [NBD_ESHUTDOWN]);
  t.strictSame(punchAll(b), []);
  t.equal(claims(b), 0);
});

t.test('an export that is swapped off is not trimmed', async (t) => {
  const b = bench();
  put(b.z, 10, makePage('text', 1));
  b.z.shared.states[0] = STATE.SWAPPING_OFF;
  untouched(t, b, trim(b, 10, 20));
});

t.test('nor does it claim anything, which swapoff would have to wait for, while a slot of it is pinned', async (t) => {
  const b = bench();
  put(b.z, 10, makePage('text', 1));
  const r = b.z.slots.pin(0, 10);
  b.z.shared.states[0] = STATE.SWAPPING_OFF;
  untouched(t, b, trim(b, 10, 20));
  b.z.slots.unpin(r);
});

t.test('one that is swapped off while a range waits for a pin is not trimmed either', async (t) => {
  const b = bench();
  put(b.z, 10, makePage('text', 1));
  const r = b.z.slots.pin(0, 10);
  const request = trim(b, 10, 20);
  t.equal(claims(b), 1);
  b.z.shared.states[0] = STATE.SWAPPING_OFF;
  b.z.slots.unpin(r);
  b.look();
  untouched(t, b, request);
});

t.test('a punch that fails loses the slots that were in use, says so, and ends the range', async (t) => {
  const b = bench();
  for (const slot of [10, 12, 600]) put(b.z, slot, makePage('text', slot));
  const request = trim(b, 5, PAGES);
  t.strictSame(punchAll(b, NBD_EIO), [[ORDER.PUNCH, 10, 502]]);
  t.strictSame(request.ended, [NBD_EIO]);
  t.strictSame(
    [10, 11, 12].map((slot) => [testBit(b.z.shared.users, 0, slot), testBit(b.z.shared.lost, 0, slot)]),
    [
      [true, true],
      [false, false],
      [true, true],
    ],
  );
  t.equal(b.z.counters[C.lost_pages], 2);
  t.equal(take(b.z, 10).result, LOAD_FAILED);
  t.equal(claims(b), 0);
  t.ok(Buffer.from(take(b.z, 600).page).equals(makePage('text', 600)), 'the next slice was not begun');
  put(b.z, 10, makePage('text', 3));
  t.ok(Buffer.from(take(b.z, 10).page).equals(makePage('text', 3)), 'a new page heals it');
});

t.test('zeros without a hole are written to the image, and the slots are in use', async (t) => {
  const b = bench();
  put(b.z, 510, makePage('text', 1));
  const request = zero(b, 510, 514, true);
  t.strictSame(punchAll(b), [
    [ORDER.ZERO, 510, 2],
    [ORDER.ZERO, 512, 2],
  ]);
  t.strictSame(request.ended, [0]);
  t.strictSame(
    [509, 510, 511, 512, 513, 514].map((slot) => testBit(b.z.shared.users, 0, slot)),
    [false, true, true, true, true, false],
  );
  t.equal(held(b.z.shared).entries, 0);
  t.equal(take(b.z, 510).result, ON_IMAGE);
});

t.test('zeros that may be a hole are a hole', async (t) => {
  const b = bench();
  put(b.z, 510, makePage('text', 1));
  const request = zero(b, 508, 514, false);
  t.strictSame(punchAll(b), [[ORDER.PUNCH, 510, 2]]);
  t.strictSame(request.ended, [0]);
  t.equal(used(b), 0);
});

t.test('zeros without a hole that the image refuses lose what was in use', async (t) => {
  const b = bench();
  put(b.z, 5, makePage('text', 1));
  const request = zero(b, 5, 7, true);
  punchAll(b, NBD_EIO);
  t.strictSame(request.ended, [NBD_EIO]);
  t.equal(take(b.z, 5).result, LOAD_FAILED);
  t.notOk(testBit(b.z.shared.users, 0, 6));
});

t.test('the same slots of another export stay', async (t) => {
  const b = new Bench({ exports: [0, 1].map((x) => ({ name: `${x}`, pages: 100, memcg: 0 })) });
  for (const x of [0, 1]) put(b.z, 5, makePage('text', x), x);
  setBit(b.z.shared.users, 1, 6);
  trim(b, 0, 100);
  punchAll(b);
  t.ok(Buffer.from(take(b.z, 5, 1).page).equals(makePage('text', 1)));
  t.ok(testBit(b.z.shared.users, 1, 6));
});
