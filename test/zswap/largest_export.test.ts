// The largest export, 8 TiB: its last slots are written, read, trimmed and claimed like any other, and none of them is taken
// for one at the other end.
import t from 'tap';
import { testBit } from '#src/pool/bits.js';
import { claim, claimed, noClaim, release } from '#src/pool/claims.js';
import { EXPORT_BYTES_MAX, PAGE_SIZE } from '#src/pool/limits.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { ON_IMAGE } from '#src/zswap/loads.js';
import { ORDER } from '#src/zswap/orders.js';
import { STORED } from '#src/zswap/store.js';
import { Bench, Request } from '../support/lane.ts';
import { checkEmpty, makePage, put, standing, take } from '../support/pool.ts';

const PAGES = EXPORT_BYTES_MAX / PAGE_SIZE;
const LAST = PAGES - 1;

function bench(): Bench {
  return new Bench({ exports: [{ name: 'a', pages: PAGES, memcg: 0 }] });
}

t.test('pages at both ends are stored, read back and written back as themselves', async (t) => {
  const b = bench();
  const slots = [0, 1, 2 ** 30, LAST - 1, LAST];
  const written: number[] = [];
  b.z.onWrite = (_x, slot) => written.push(slot);
  for (const slot of slots) t.equal(put(b.z, slot, makePage('text', slot % 1000)), STORED);
  for (const slot of slots) t.ok(Buffer.from(take(b.z, slot).page).equals(makePage('text', slot % 1000)));
  for (const _ of slots) t.equal(b.z.protocols.entry.shrinkOne(b.z, 1, b.z.protocols.busy), SHRINK.WRITTEN);
  t.strictSame(written, slots);
});

t.test('the last slots are trimmed, and an order names them', async (t) => {
  const b = bench();
  for (const slot of [0, LAST - 3, LAST]) put(b.z, slot, makePage('text', 1));
  const request = new Request();
  b.volume.trim(request, (LAST - 3) * PAGE_SIZE, 4 * PAGE_SIZE);
  b.run();
  const [order] = b.orders();
  t.match(order, { kind: ORDER.PUNCH, slot: LAST - 3, n: 4 });
  b.answer(order);
  t.strictSame(request.ended, [0]);
  t.equal(take(b.z, LAST).result, ON_IMAGE);
  t.ok(testBit(b.z.shared.users, 0, 0), 'the first slot stays');
  b.z.invalidate(0, 0);
  checkEmpty(t, b.z.shared);
});

t.test('a part of the last page, and what is made durable of it', async (t) => {
  const b = bench();
  const request = new Request();
  b.volume.zero(request, PAGES * PAGE_SIZE - 10, 10, false);
  b.run();
  t.strictSame(request.ended, [0]);
  b.volume.persist(new Request(), PAGES * PAGE_SIZE - 1, 1);
  t.match(b.orders(), [{ kind: ORDER.PERSIST, slot: LAST, n: 1 }]);
});

t.test('a claim may end at the end of the export', async (t) => {
  const { claims, boxes } = bench().z.shared;
  const row = standing(claims, 0, LAST - 4, PAGES, 1);
  t.strictSame(
    [LAST - 5, LAST - 4, LAST, 0].map((slot) => claimed(claims, 0, slot, 0)),
    [false, true, true, false],
  );
  t.notOk(claim(claims, 0, LAST, PAGES, 1, noClaim()));
  release(claims, row, boxes);
  t.notOk(claimed(claims, 0, LAST, 0));
});

t.test('an extent goes to the end', async (t) => {
  const b = bench();
  put(b.z, LAST, makePage('text', 1));
  const extent = (slot: number) => b.volume.extent(slot, PAGES, { end: 0, status: 0 });
  t.equal(extent(PAGES - 5000).end, LAST);
  t.strictSame(extent(LAST), { end: PAGES, status: 0 });
});
