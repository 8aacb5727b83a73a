// Pins: who gets one, what the others are told, and who is woken.
import t from 'tap';
import { createBits, setBit } from '#src/pool/bits.js';
import { createClaims, release } from '#src/pool/claims.js';
import { createSlotTable } from '#src/pool/slot_table.js';
import { EEXIST, ENOENT, ENOMEM, Slots } from '#src/pool/slots.js';
import { createMailboxes } from '#src/shm/mailbox.js';
import { freeRecords, standing } from '../support/pool.ts';
import { startAll } from '../support/pool_threads.ts';

/** A table of `records` for exports 0 to 128, and the way to it of threads 0 to 3. */
function table(records = 8, exports = 129) {
  const shared = createSlotTable(records, exports);
  const users = createBits([1000, 1000]);
  const claims = createClaims(exports);
  const boxes = createMailboxes(4);
  const threads = [0, 1, 2, 3].map((thread) => new Slots(shared, users, claims, boxes, thread));
  return { shared, users, claims, boxes, threads };
}

t.test('a pinned slot answers EEXIST to everybody, its owner too, until it is unpinned', async (t) => {
  const { threads, users, boxes } = table();
  const [, a, b] = threads;
  setBit(users, 0, 5);
  const r = a.pin(0, 5);
  t.ok(r > 0);
  t.strictSame([b.pin(0, 5), a.tryPin(0, 5), b.pinForWriteback(0, 5)], [EEXIST, EEXIST, EEXIST]);
  // Export 128 shares its buckets with export 0.
  t.ok(b.pin(1, 5) > 0 && b.pin(128, 5) > 0, 'the same slot of another export is another slot');
  a.unpin(r);
  t.strictSame([...boxes], [0, 0, 1, 0], 'who asked by pin is woken; who only tried is not');
  t.ok(b.pin(0, 5) > 0);
});

t.test('writeback gets ENOENT for a slot that nobody uses, and leaves no record', async (t) => {
  const { threads, users, shared } = table();
  t.equal(threads[1].pinForWriteback(0, 9), ENOENT);
  t.equal(freeRecords(shared), 8);
  setBit(users, 0, 9);
  t.ok(threads[1].pinForWriteback(0, 9) > 0);
});

t.test('a full table answers ENOMEM, and takes pins again after an unpin', async (t) => {
  const { threads, shared } = table(2);
  const [, a] = threads;
  const r = a.pin(0, 1);
  a.pin(0, 2);
  t.equal(a.pin(0, 3), ENOMEM);
  a.unpin(r);
  t.ok(a.pin(0, 3) > 0);
  t.equal(freeRecords(shared), 0);
});

t.test('who was told ENOMEM is woken when a record is free, and who only tried is not', async (t) => {
  const { threads, boxes } = table(2);
  const [, a, b, c] = threads;
  const records = [a.pin(0, 1), a.pin(0, 2)];
  t.equal(b.pin(0, 3), ENOMEM);
  t.equal(c.tryPin(0, 4), ENOMEM);
  a.attachPage(records[0], 1);
  a.unpin(records[0]);
  t.strictSame([...boxes], [0, 0, 0, 0], 'a record whose page is on its way to the image is still in use');
  a.writebackDone(0, 1, 1);
  t.strictSame([...boxes], [0, 0, 1, 0], 'the end of an image write frees one');
  t.ok(b.pin(0, 3) > 0);
  t.equal(b.pin(0, 5), ENOMEM);
  a.unpin(records[1]);
  t.strictSame([...boxes], [0, 0, 2, 0], 'as the end of a pin does');
});

t.test('an export whose slots are all in use leaves others their share of the records', async (t) => {
  const { threads, boxes } = table(8, 2);
  const [, a, b] = threads;
  const held: number[] = [];
  for (let slot = 0; slot < 6; slot++) held.push(a.pin(0, slot));
  t.ok(held.every((r) => r > 0));
  t.equal(a.pin(0, 6), ENOMEM);
  const others = [b.pin(1, 0), b.pin(1, 1)];
  t.ok(others.every((r) => r > 0));
  b.unpin(others[0]);
  t.strictSame([...boxes], [0, 0, 0, 0], 'what belongs to another is nothing to wait for');
  t.equal(a.pin(0, 6), ENOMEM);
  t.ok(b.pin(1, 7) > 0);
  a.unpin(held[0]);
  t.equal(boxes[1], 1);
});

t.test('a second unpin throws, whether or not the record is still in use', async (t) => {
  const { threads, shared } = table();
  const [, a] = threads;
  const gone = a.pin(0, 1);
  a.unpin(gone);
  t.throws(() => a.unpin(gone), /unpinned twice/);
  const kept = a.pin(0, 2);
  a.attachPage(kept, 1);
  a.unpin(kept);
  t.throws(() => a.unpin(kept), /unpinned twice/);
  a.writebackDone(0, 2, 1);
  t.equal(freeRecords(shared), 8);
});

t.test('records that share a bucket are told apart and taken out singly', async (t) => {
  const { threads, shared } = table(5000, 2);
  const [, a] = threads;
  const records = Array.from({ length: 5000 }, (_, slot) => a.pin(slot % 2, slot));
  t.equal(new Set(records).size, 5000);
  for (let i = 0; i < 5000; i += 2) a.unpin(records[i]);
  for (let i = 0; i < 5000; i++) if (a.isPinned(i % 2, i) !== (i % 2 === 1)) t.fail(`slot ${i}`);
  for (let i = 1; i < 5000; i += 2) a.unpin(records[i]);
  t.equal(freeRecords(shared), 5000);
});

t.test('isPinned says so, and has the asker woken', async (t) => {
  const { threads, boxes } = table();
  const [, a, b] = threads;
  t.notOk(b.isPinned(0, 5));
  const r = a.pin(0, 5);
  t.ok(b.isPinned(0, 5));
  a.unpin(r);
  t.strictSame([...boxes], [0, 0, 1, 0]);
});

t.test('no slot of a claimed range can be pinned; who tried is woken by the release', async (t) => {
  const { threads, claims, boxes, shared, users } = table();
  const [, a, b] = threads;
  for (const slot of [10, 19]) setBit(users, 0, slot);
  const row = standing(claims, 0, 10, 20, 1);
  t.strictSame([b.pin(0, 10), b.pin(0, 19), b.pinForWriteback(0, 19)], [EEXIST, EEXIST, EEXIST]);
  t.ok(
    [b.pin(0, 9), b.pin(0, 20), b.pin(1, 15)].every((r) => r > 0),
    'slots beside it can',
  );
  t.equal(freeRecords(shared), 5, 'a refused pin leaves no record');
  release(claims, row, boxes);
  t.equal(boxes[2], 1);
  t.ok(a.pin(0, 10) > 0);
});

t.test('a pin that was there before the claim is seen by the claimer, who is woken when it goes', async (t) => {
  const { threads, claims, boxes } = table();
  const [, a, b] = threads;
  const r = a.pin(0, 15);
  standing(claims, 0, 10, 20, 2);
  t.ok(b.isPinned(0, 15));
  a.unpin(r);
  t.equal(boxes[2], 1);
  t.notOk(b.isPinned(0, 15));
});

t.test('two threads never hold one pin: plain additions under pins are all there', async (t) => {
  const { shared, users, claims } = table();
  const boxes = createMailboxes(4);
  const plain = new Int32Array(new SharedArrayBuffer(4 * 4));
  const rounds = 100_000;
  const data = { table: shared, users, claims, boxes, plain, rounds };
  t.strictSame(await startAll('pins', [1, 2], data), [rounds, rounds]);
  t.equal(
    plain.reduce((a, b) => a + b, 0),
    2 * rounds,
  );
  t.equal(freeRecords(shared), 8, 'no record leaked');
});
