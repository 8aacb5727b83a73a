// The page that stands for a slot during writeback, and the life of the record around it.
import t, { type Test } from 'tap';
import { createBits } from '#src/pool/bits.js';
import { createClaims } from '#src/pool/claims.js';
import { createSlotTable } from '#src/pool/slot_table.js';
import { EEXIST, Slots } from '#src/pool/slots.js';
import { createMailboxes } from '#src/shm/mailbox.js';
import { freeRecords } from '../support/pool.ts';

function slots(): Slots {
  return new Slots(createSlotTable(4, 1), createBits([100]), createClaims(1), createMailboxes(4), 1);
}

/** Pins slot 5, makes `buffer` its page, unpins; answers the record. */
function attach(s: Slots, buffer: number): number {
  const r = s.pin(0, 5);
  s.attachPage(r, buffer);
  s.unpin(r);
  return r;
}

const left = (t: Test, s: Slots) => t.equal(freeRecords(s.t), 4, 'the record is free again');

t.test('the page outlives the pin, and goes when the image has it', async (t) => {
  const s = slots();
  const r = attach(s, 3);
  t.equal(freeRecords(s.t), 3);
  t.ok(s.pageIs(0, 5, 3));
  t.equal(s.pin(0, 5), r, 'the slot can be pinned while it is written');
  t.equal(s.tryPin(0, 5), EEXIST);
  s.unpin(r);
  t.ok(s.writebackDone(0, 5, 3), 'the buffer is free at once');
  t.notOk(s.pageIs(0, 5, 3));
  left(t, s);
});

t.test('a write that ends while the slot is pinned leaves page and buffer to the unpin', async (t) => {
  const s = slots();
  const back: number[] = [];
  s.onRetired = (buffer) => back.push(buffer);
  attach(s, 3);
  const r = s.pin(0, 5);
  t.notOk(s.writebackDone(0, 5, 3), 'the holder of the pin may be copying from it');
  t.equal(s.t.page[r], 3);
  t.strictSame(back, []);
  s.unpin(r);
  t.strictSame(back, [3]);
  left(t, s);
});

t.test('a page dropped by the pin its write ended under gives its buffer back once', async (t) => {
  const s = slots();
  const back: number[] = [];
  s.onRetired = (buffer) => back.push(buffer);
  attach(s, 3);
  const r = s.pin(0, 5);
  s.writebackDone(0, 5, 3);
  s.dropPage(r);
  s.unpin(r);
  t.strictSame(back, [3]);
  left(t, s);
});

t.test('a page that the holder of the pin put in place of one whose write ended stays', async (t) => {
  const s = slots();
  const back: number[] = [];
  s.onRetired = (buffer) => back.push(buffer);
  attach(s, 3);
  const r = s.pin(0, 5);
  s.writebackDone(0, 5, 3);
  s.dropPage(r);
  s.attachPage(r, 4);
  s.unpin(r);
  t.strictSame(back, [3]);
  t.ok(s.pageIs(0, 5, 4));
  t.ok(s.writebackDone(0, 5, 4));
  left(t, s);
});

t.test('a dropped page is no longer the content, but its write is still counted', async (t) => {
  const s = slots();
  const r = attach(s, 3);
  s.pin(0, 5);
  s.dropPage(r);
  s.unpin(r);
  t.notOk(s.pageIs(0, 5, 3));
  t.equal(freeRecords(s.t), 3);
  s.writebackDone(0, 5, 3);
  left(t, s);
});

t.test('of two writes of a slot the older one does not take the newer page away', async (t) => {
  const s = slots();
  const r = attach(s, 3);
  s.pin(0, 5);
  s.dropPage(r);
  s.unpin(r);
  attach(s, 4);
  s.writebackDone(0, 5, 3);
  t.ok(s.pageIs(0, 5, 4));
  t.equal(freeRecords(s.t), 3);
  s.writebackDone(0, 5, 4);
  left(t, s);
});

t.test('the owner of a claim drops the page by slot, and a slot without a record has none', async (t) => {
  const s = slots();
  attach(s, 3);
  s.dropPageOf(0, 5);
  s.dropPageOf(0, 6);
  t.notOk(s.pageIs(0, 5, 3));
  t.notOk(s.pageIs(0, 6, 3));
  s.writebackDone(0, 5, 3);
  left(t, s);
});

t.test('a write that ends without having begun throws, and leaves the bucket unlocked', async (t) => {
  const s = slots();
  t.throws(() => s.writebackDone(0, 5, 3), /without having begun/);
  t.ok(s.pin(0, 5) > 0);
});
