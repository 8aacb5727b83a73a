// Requests that don't fit slots: parts of a page, ragged TRIM and WRITE_ZEROES, what is made durable, and extents.
import { NBD_EIO, NBD_ESHUTDOWN, NBD_STATE_HOLE, NBD_STATE_ZERO, OK, TAKEN, WAIT } from 'node-nbd-server';
import t from 'tap';
import { clearBit, setBit, testBit } from '#src/pool/bits.js';
import { takeBuffer } from '#src/pool/buffers.js';
import { POOL } from '#src/pool/counters.js';
import { STATE } from '#src/pool/export_state.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { C } from '#src/zswap/counters.js';
import { LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { ORDER } from '#src/zswap/orders.js';
import { passing } from '../support/facade.ts';
import { Bench, nothingHeld, Request } from '../support/lane.ts';
import { freeRecords, makePage, put, take } from '../support/pool.ts';

const bytes = (length: number, value: number) => new Uint8Array(length).fill(value);

function merged(base: Uint8Array, within: number, part: Uint8Array): Buffer {
  const page = Buffer.from(base);
  page.set(part, within);
  return page;
}

for (const [within, length] of [
  [0, 1],
  [1, 4095],
  [4095, 1],
  [100, 500],
]) {
  t.test(`${length} bytes at ${within} change those bytes of a stored page`, async (t) => {
    const b = new Bench();
    put(b.z, 5, makePage('text', 5));
    const src = new Uint8Array(length + 20).fill(0x77);
    src.fill(0xee, 10, 10 + length);
    t.equal(b.volume.writePart(new Request(), 5, within, length, src, 10), OK);
    t.ok(Buffer.from(take(b.z, 5).page).equals(merged(makePage('text', 5), within, bytes(length, 0xee))));
    nothingHeld(t, b);
  });

  t.test(`${length} bytes at ${within} of a slot that nobody wrote stand between zeros`, async (t) => {
    const b = new Bench();
    b.pages.set(5, makePage('text', 9));
    put(b.z, 4, makePage('text', 4));
    b.volume.writePart(new Request(), 4, 0, 1, bytes(1, 1), 0);
    t.equal(b.volume.writePart(new Request(), 5, within, length, bytes(length, 3), 0), OK);
    t.ok(Buffer.from(take(b.z, 5).page).equals(merged(new Uint8Array(PAGE_SIZE), within, bytes(length, 3))));
  });

  t.test(`${length} bytes at ${within} of a page of the image wait for it, with the slot pinned`, async (t) => {
    const b = new Bench();
    setBit(b.z.shared.users, 0, 5);
    b.pages.set(5, makePage('text', 9));
    const request = new Request();
    const src = bytes(length, 3);
    t.equal(b.volume.writePart(request, 5, within, length, src, 0), TAKEN);
    src.fill(0xff);
    const other = new Request();
    t.equal(b.volume.writePart(other, 5, 0, 1, src, 0), WAIT, 'another write of the slot waits');
    b.volume.cancel(other);
    b.arrive();
    t.strictSame(request.ended, [0]);
    t.ok(Buffer.from(take(b.z, 5).page).equals(merged(makePage('text', 9), within, bytes(length, 3))));
    nothingHeld(t, b);
  });
}

t.test('a part whose base the image does not give changes nothing', async (t) => {
  const b = new Bench();
  setBit(b.z.shared.users, 0, 5);
  const request = new Request();
  b.volume.writePart(request, 5, 0, 10, bytes(10, 3), 0);
  b.arrive(5);
  t.strictSame(request.ended, [NBD_EIO]);
  t.equal(take(b.z, 5).result, ON_IMAGE);
  nothingHeld(t, b);
});

t.test('a part of a connection that ended during the image read is dropped', async (t) => {
  const b = new Bench();
  setBit(b.z.shared.users, 0, 5);
  const request = new Request();
  b.volume.writePart(request, 5, 0, 10, bytes(10, 3), 0);
  request.gone = true;
  b.arrive();
  t.strictSame(request.ended, [NBD_ESHUTDOWN]);
  t.equal(take(b.z, 5).result, ON_IMAGE);
  nothingHeld(t, b);
});

t.test('a part of a lost slot fails, and without a buffer it waits', async (t) => {
  const b = new Bench({ buffers: 1 });
  for (const slot of [5, 6]) setBit(b.z.shared.users, 0, slot);
  setBit(b.z.shared.lost, 0, 5);
  t.equal(b.volume.writePart(new Request(), 5, 0, 10, bytes(10, 3), 0), NBD_EIO);
  takeBuffer(b.z.shared.requestBuffers, 0, -1);
  const request = new Request();
  t.equal(b.volume.writePart(request, 6, 0, 10, bytes(10, 3), 0), WAIT);
  t.equal(b.reading.length, 0);
  b.look();
  t.equal(request.resumed, 1, 'and is asked again at the next wake-up');
  t.equal(freeRecords(b.z.shared.slotTable), b.z.shared.slotTable.next.length - 1);
});

for (const part of [false, true]) {
  const name = part ? 'a part' : 'a page';
  const write = (b: Bench, request: Request) =>
    part ? b.volume.writePart(request, 5, 0, 10, bytes(10, 3), 0) : b.volume.write(request, 5, makePage('text', 6), 0);

  t.test(`${name} of an ended connection, and of an export that is swapped off, is not stored`, async (t) => {
    const b = new Bench();
    const request = new Request();
    request.gone = true;
    t.equal(write(b, request), NBD_ESHUTDOWN);
    b.z.shared.states[0] = STATE.SWAPPING_OFF;
    t.equal(write(b, new Request()), NBD_ESHUTDOWN);
    t.notOk(testBit(b.z.shared.users, 0, 5));
    t.equal(b.z.counters[POOL.stored_pages], 0);
    nothingHeld(t, b);
  });
}

t.test('a page written over one that is on its way to the image is what is read', async (t) => {
  const b = new Bench();
  const pending: number[] = [];
  b.z.onWrite = (_x, _slot, buffer) => pending.push(buffer);
  put(b.z, 5, makePage('text', 5));
  b.z.protocols.entry.shrinkOne(b.z, 1, b.z.protocols.busy);
  t.equal(pending.length, 1);
  t.equal(b.volume.write(new Request(), 5, makePage('text', 6), 0), OK);
  t.ok(Buffer.from(take(b.z, 5).page).equals(makePage('text', 6)));
  const dst = new Uint8Array(PAGE_SIZE);
  t.equal(b.volume.readNow(5, 1, dst, 0), 1);
  t.ok(Buffer.from(dst).equals(makePage('text', 6)));
});

/** What is left of slots 4 to 8 after `work`: a page of ones each, on the image as well. */
function after(work: (b: Bench, request: Request) => void, errno = 0) {
  const b = new Bench();
  for (let slot = 4; slot < 9; slot++) put(b.z, slot, makePage('same', 0x01010101));
  const request = new Request();
  work(b, request);
  b.run();
  const orders = [];
  for (let got = b.orders(); got.length > 0; got = b.orders()) {
    for (const order of got) {
      orders.push([order.kind, order.slot, order.n]);
      b.answer(order, errno);
    }
  }
  const zeros = [4, 5, 6, 7, 8].map((slot) => {
    const { result, page } = take(b.z, slot);
    return result === LOADED ? page.filter((byte) => byte === 0).length : PAGE_SIZE;
  });
  return { request, orders, zeros };
}

t.test('a TRIM frees the pages that lie wholly in it', async (t) => {
  const at = (offset: number, length: number) => after((b, request) => b.volume.trim(request, offset, length));
  const P = PAGE_SIZE;
  t.strictSame(at(5 * P, 2 * P).zeros, [0, P, P, 0, 0]);
  t.strictSame(at(5 * P - 1, 2 * P + 2).zeros, [0, P, P, 0, 0]);
  t.strictSame(at(5 * P + 1, 3 * P - 2).zeros, [0, 0, P, 0, 0]);
  const none = at(5 * P + 1, P - 2);
  t.strictSame([none.zeros, none.orders, none.request.ended], [[0, 0, 0, 0, 0], [], [0]]);
  t.strictSame(at(5 * P + 1, P).zeros, [0, 0, 0, 0, 0]);
});

t.test('WRITE_ZEROES zeroes every byte of its range and none beside it', async (t) => {
  const at = (offset: number, length: number) => after((b, request) => b.volume.zero(request, offset, length, false));
  const P = PAGE_SIZE;
  t.strictSame(at(5 * P, 2 * P).zeros, [0, P, P, 0, 0]);
  t.strictSame(at(5 * P - 1, 2 * P + 2).zeros, [1, P, P, 1, 0]);
  t.strictSame(at(5 * P + 1, 3 * P - 2).zeros, [0, P - 1, P, P - 1, 0]);
  t.strictSame(at(5 * P + 7, 9).zeros, [0, 9, 0, 0, 0], 'inside one page');
  t.strictSame(at(6 * P - 5, 10).zeros, [0, 5, 5, 0, 0], 'over an edge, with no whole page');
  t.strictSame(at(6 * P - 5, 5).zeros, [0, 5, 0, 0, 0]);
  t.strictSame(at(6 * P, 5).zeros, [0, 0, 5, 0, 0]);
  t.strictSame(at(5 * P, P + 1).request.ended, [0]);
});

t.test('WRITE_ZEROES ends with the first error and goes no further', async (t) => {
  const P = PAGE_SIZE;
  const failed = after((b, request) => b.volume.zero(request, 5 * P, 2 * P + 5, false), NBD_EIO);
  t.strictSame([failed.request.ended, failed.zeros[3]], [[NBD_EIO], 0]);
  const head = after((b, request) => {
    setBit(b.z.shared.lost, 0, 4);
    b.volume.zero(request, 5 * P - 5, P, false);
  });
  t.strictSame([head.request.ended, head.orders], [[NBD_EIO], []]);
});

t.test('a part of WRITE_ZEROES that has to wait is tried again and counted as waiting', async (t) => {
  const b = new Bench();
  put(b.z, 5, makePage('text', 5));
  const r = b.z.tryPin(0, 5);
  const request = new Request();
  b.volume.zero(request, 5 * PAGE_SIZE, 10, false);
  b.run();
  b.look();
  t.strictSame([request.ended, b.z.counters[C.parks]], [[], 1]);
  b.z.unpin(r);
  b.look();
  t.strictSame(request.ended, [0]);
});

t.test('what is made durable covers every page that the range touches', async (t) => {
  const b = new Bench();
  const P = PAGE_SIZE;
  for (const [offset, length, slot, n] of [
    [5 * P, P, 5, 1],
    [5 * P + 1, P, 5, 2],
    [5 * P - 1, 2, 4, 2],
    [5 * P + 4095, 1, 5, 1],
  ]) {
    const request = new Request();
    b.volume.persist(request, offset, length);
    const [order] = b.orders();
    t.match(order, { kind: ORDER.PERSIST, slot, n });
    b.answer(order, NBD_EIO);
    t.strictSame(request.ended, [NBD_EIO]);
  }
  const request = new Request();
  b.volume.flush(request);
  const [order] = b.orders();
  t.equal(order.kind, ORDER.FLUSH);
  b.answer(order, NBD_EIO);
  t.strictSame(request.ended, [NBD_EIO]);
});

t.test('an extent goes to where the use of slots changes, or to the end asked for', async (t) => {
  const b = new Bench();
  for (const slot of [2, 3, 4]) setBit(b.z.shared.users, 0, slot);
  const extent = (slot: number, end: number) => b.volume.extent(slot, end, { end: 0, status: 9 });
  const hole = NBD_STATE_HOLE | NBD_STATE_ZERO;
  t.strictSame(extent(0, 100), { end: 2, status: hole });
  t.strictSame(extent(2, 100), { end: 5, status: 0 });
  t.strictSame(extent(3, 4), { end: 4, status: 0 });
  t.strictSame(extent(5, 100), { end: 100, status: hole });
});

t.test('an extent holds its first slot, whatever other lanes do to it meanwhile', async (t) => {
  const b = new Bench();
  const { users } = b.z.shared;
  const hole = NBD_STATE_HOLE | NBD_STATE_ZERO;
  for (const [before, status] of [
    [false, hole],
    [true, 0],
  ] as const) {
    const flip = before ? clearBit : setBit;
    (before ? setBit : clearBit)(users, 0, 7);
    let looks = 0;
    const found = { end: 0, status: 9 };
    passing(
      () => b.volume.extent(7, 9, found),
      () => {
        // Of the first look the answer is taken; by the second another lane has written or trimmed the slot.
        if (++looks === 2) flip(users, 0, 7);
      },
    );
    t.ok(looks >= 2);
    t.strictSame(found, { end: before ? 8 : 9, status });
  }
});
