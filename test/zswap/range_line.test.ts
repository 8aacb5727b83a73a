// Ranges that wait for others: their turn, and what becomes of their place.
import { NBD_ESHUTDOWN } from 'node-nbd-server';
import t from 'tap';
import { release } from '#src/pool/claims.js';
import { SLICE_SLOTS } from '#src/pool/limits.js';
import { ORDER } from '#src/zswap/orders.js';
import { makePage, put, standing } from '../support/pool.ts';
import { bench, claims, PAGES, punchAll, trim, zero } from '../support/ranges.ts';

t.test('a TRIM of a slice goes before small ranges that came after it, however many come', async (t) => {
  const b = bench();
  for (const slot of [0, 1, 2, 3]) put(b.z, slot, makePage('text', slot));
  const small = [zero(b, 1, 2, true), zero(b, 2, 3, true)];
  const large = trim(b, 0, SLICE_SLOTS);
  const later = zero(b, 3, 4, true);
  for (const order of b.orders()) b.answer(order);
  for (const { ended } of small) t.strictSame(ended, [0]);
  const [order, ...others] = b.orders();
  t.match(order, { kind: ORDER.PUNCH, slot: 0, n: SLICE_SLOTS });
  t.strictSame(others, []);
  b.answer(order);
  t.strictSame([large.ended, later.ended], [[0], []]);
  punchAll(b);
  t.strictSame(later.ended, [0]);
  t.equal(claims(b), 0);
});

t.test('a range that waits, and whose connection ends, is in the way of none behind it', async (t) => {
  const b = bench();
  for (const slot of [1, 2]) put(b.z, slot, makePage('text', slot));
  const before = standing(b.z.shared.claims, 0, 1, 2, 1);
  const dead = trim(b, 0, SLICE_SLOTS);
  const live = trim(b, 2, 3);
  t.strictSame(b.orders(), [], 'both wait');
  dead.gone = true;
  b.look();
  t.strictSame(dead.ended, [NBD_ESHUTDOWN]);
  b.look();
  t.strictSame(punchAll(b), [[ORDER.PUNCH, 2, 1]]);
  t.strictSame(live.ended, [0]);
  release(b.z.shared.claims, before, b.z.shared.boxes);
  t.equal(claims(b), 0);
});

t.test('a range whose slots others have freed while it waited leaves its place and goes on', async (t) => {
  const b = bench();
  for (const slot of [1, 600]) put(b.z, slot, makePage('text', slot));
  const before = trim(b, 1, 2);
  const request = trim(b, 0, PAGES);
  t.equal(claims(b), 2);
  t.strictSame(punchAll(b), [
    [ORDER.PUNCH, 1, 1],
    [ORDER.PUNCH, 600, 2 * SLICE_SLOTS - 600],
  ]);
  t.strictSame([before.ended, request.ended, claims(b)], [[0], [0], 0]);
});
