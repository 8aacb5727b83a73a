// Pins that are waited for in turn: each thread has the slot in its turn, whoever looks first.
import t from 'tap';
import { createBits } from '#src/pool/bits.js';
import { claim, claimsHeld, createClaims, noClaim, release, waits } from '#src/pool/claims.js';
import { createSlotTable, nextInTurn } from '#src/pool/slot_table.js';
import { EEXIST, Slots } from '#src/pool/slots.js';
import { createMailboxes } from '#src/shm/mailbox.js';
import { freeRecords, standing } from '../support/pool.ts';

const RECORDS = 8;

function table() {
  const shared = createSlotTable(RECORDS, 2);
  const claims = createClaims(2);
  const boxes = createMailboxes(4);
  const users = createBits([1000, 1000]);
  const threads = [0, 1, 2, 3].map((thread) => new Slots(shared, users, claims, boxes, thread));
  return { shared, claims, boxes, threads };
}

t.test('the next in turn is the first thread after this one, and then from the first on', async (t) => {
  t.strictSame(
    [0, 1, 2, 3].map((thread) => nextInTurn(0b1011, thread)),
    [1, 3, 3, 0],
  );
  t.equal(nextInTurn(0b0100, 2), 2, 'the thread itself, where there is no other');
  t.equal(nextInTurn(0, 2), -1);
  t.equal(nextInTurn((1 << 29) | 1, 28), 29);
  t.equal(nextInTurn((1 << 29) | 1, 29), 0);
});

t.test('a pin that is dropped belongs to who has waited in turn, and to nobody who comes before him', async (t) => {
  const { threads, boxes, shared } = table();
  const [, a, b, c] = threads;
  const r = a.pinInTurn(0, 5);
  t.equal(b.pinInTurn(0, 5), EEXIST);
  a.unpin(r);
  t.strictSame([...boxes], [0, 0, 1, 0]);
  t.strictSame([a.pinInTurn(0, 5), c.tryPin(0, 5), c.pin(0, 5), b.tryPin(0, 5)], Array(4).fill(EEXIST));
  t.notOk(c.isPinned(0, 5), 'who claims a range need not wait: b will find the claim');
  t.throws(() => a.unpin(r), /unpinned twice/);
  t.equal(b.pinInTurn(0, 5), r);
  b.unpin(r);
  t.equal(a.pinInTurn(0, 5), r, 'his turn came next');
  a.unpin(r);
  t.equal(freeRecords(shared), RECORDS);
});

t.test('threads that all want a slot again and again have it equally often', async (t) => {
  const { threads } = table();
  const waiting = [1, 2, 3].map((n) => ({ slots: threads[n], had: 0 }));
  let holder = 0;
  let r = threads[1].pinInTurn(0, 5);
  for (let round = 0; round < 30; round++) {
    // The holder looks first each time.
    const order = [...waiting.slice(holder), ...waiting.slice(0, holder)];
    for (const one of order) one.slots.pinInTurn(0, 5);
    order[0].slots.unpin(r);
    for (const one of order) {
      const got = one.slots.pinInTurn(0, 5);
      if (got <= 0) continue;
      r = got;
      one.had++;
      holder = waiting.indexOf(one);
    }
  }
  t.strictSame(
    waiting.map(({ had }) => had),
    [10, 10, 10],
  );
});

t.test('who waits no more has the pin handed on, and is passed by later', async (t) => {
  const { threads, shared, boxes } = table();
  const [, a, b, c] = threads;
  for (const late of [false, true]) {
    const r = a.pinInTurn(0, 5);
    t.strictSame([b.pinInTurn(0, 5), c.pinInTurn(0, 5)], [EEXIST, EEXIST]);
    if (!late) b.forgo(0, 5, noClaim());
    a.unpin(r);
    boxes.fill(0);
    if (late) b.forgo(0, 5, noClaim());
    t.strictSame([...boxes], [0, 0, 0, late ? 1 : 0]);
    t.equal(c.pinInTurn(0, 5), r);
    c.unpin(r);
    t.equal(freeRecords(shared), RECORDS);
  }
  b.forgo(0, 7, noClaim());
});

t.test('who waits in turn for a claimed slot stands in the line of ranges, until he has it', async (t) => {
  const { threads, claims, boxes } = table();
  const [, a] = threads;
  const first = standing(claims, 0, 0, 10, 2);
  const place = noClaim();
  t.equal(a.pinInTurn(0, 5, place), EEXIST);
  t.ok(waits(place));
  const later = noClaim();
  release(claims, first, boxes);
  t.notOk(claim(claims, 0, 0, 10, 2, later), 'a range that comes later waits for him');
  boxes.fill(0);
  const r = a.pinInTurn(0, 5, place);
  t.ok(r > 0);
  t.notOk(waits(place));
  t.equal(boxes[2], 1);
  a.unpin(r);
});

t.test('who gives up in line leaves his place', async (t) => {
  const { threads, claims, shared } = table();
  const [, a] = threads;
  standing(claims, 0, 0, 10, 2);
  const place = noClaim();
  a.pinInTurn(0, 5, place);
  t.equal(claimsHeld(claims), 2);
  a.forgo(0, 5, place);
  t.strictSame([claimsHeld(claims), freeRecords(shared)], [1, RECORDS]);
});

t.test('threads that are handed the pin of a claimed slot come to rest, and wait for the claim', async (t) => {
  const { threads, claims, boxes, shared } = table();
  const [owner, a, b] = threads;
  const r = owner.pin(0, 5);
  // Two requests of each thread.
  const waiting = [a, b].flatMap((slots) =>
    [0, 1].map(() => ({ slots, thread: threads.indexOf(slots), place: noClaim() })),
  );
  for (const { slots, place } of waiting) t.equal(slots.pinInTurn(0, 5, place), EEXIST);
  const trim = standing(claims, 0, 0, 10, 3);
  owner.unpin(r);
  for (let round = 0; boxes.some((box) => box !== 0); round++) {
    if (round === 10) return t.fail('the pin is handed on and on');
    for (const thread of [1, 2]) {
      if (boxes[thread] === 0) continue;
      boxes[thread] = 0;
      for (const one of waiting.filter((one) => one.thread === thread)) {
        t.equal(one.slots.pinInTurn(0, 5, one.place), EEXIST);
      }
    }
  }
  t.notOk(threads[3].isPinned(0, 5));
  t.ok(
    waiting.every(({ place }) => waits(place)),
    'each in the line of ranges',
  );
  release(claims, trim, boxes);
  t.strictSame([boxes[1], boxes[2]], [1, 1]);
  for (const { slots, place } of waiting) slots.unpin(slots.pinInTurn(0, 5, place));
  t.strictSame([claimsHeld(claims), freeRecords(shared)], [0, RECORDS]);
});
