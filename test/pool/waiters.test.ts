// Several threads wait for one thing (a buffer, a claim, a pin): each of them is woken, also thread 0 and the highest one.
import t from 'tap';
import { type Buffers, createBuffers, freeBuffers, giveBuffer, takeBuffer } from '#src/pool/buffers.js';
import { claim, claimed, claimsHeld, createClaims, noClaim, release } from '#src/pool/claims.js';
import { THREADS_MAX } from '#src/pool/limits.js';
import { EEXIST, Slots } from '#src/pool/slots.js';
import { createMailboxes, type Mailboxes } from '#src/shm/mailbox.js';
import { newZswap, standing } from '../support/pool.ts';

const WAITING = [0, 3, THREADS_MAX - 1];

const take = (b: Buffers, thread: number) => takeBuffer(b, 0, thread);

const woken = (boxes: Mailboxes) => [...boxes].flatMap((count, thread) => (count > 0 ? [thread] : []));

t.test('for a buffer', async (t) => {
  const b = createBuffers(2, 1);
  const boxes = createMailboxes(THREADS_MAX);
  const [first, second] = [take(b, 1), take(b, 1)];
  for (const thread of WAITING) t.equal(take(b, thread), 0);
  giveBuffer(b, second, boxes);
  t.strictSame(woken(boxes), WAITING);
  giveBuffer(b, first, boxes);
  t.strictSame(
    [...boxes].filter((count) => count > 0),
    [1, 1, 1],
    'once',
  );
  t.equal(freeBuffers(b), 2);
  t.strictSame([take(b, 1), take(b, 1)].sort(), [first, second].sort());
  t.equal(freeBuffers(b), 0);
});

t.test('for a range that overlaps', async (t) => {
  const c = createClaims(2);
  const boxes = createMailboxes(THREADS_MAX);
  const row = standing(c, 0, 10, 20, 1);
  const behind = WAITING.map(() => noClaim());
  for (const [i, thread] of WAITING.entries()) t.notOk(claim(c, 0, 19, 21, thread, behind[i]));
  t.equal(claimsHeld(c), 1 + WAITING.length);
  release(c, row, boxes);
  t.strictSame(woken(boxes), WAITING);
  for (const one of behind) release(c, one, boxes);
  t.equal(claimsHeld(c), 0);
});

t.test('for a slot in a range, beside those who wait for the range', async (t) => {
  const c = createClaims(2);
  const boxes = createMailboxes(THREADS_MAX);
  const row = standing(c, 0, 10, 20, 1);
  claim(c, 0, 0, 11, 2, noClaim());
  for (const thread of WAITING) t.ok(claimed(c, 0, 19, 1 << thread));
  t.ok(claimed(c, 0, 10, 0), 'who only asks');
  t.notOk(claimed(c, 0, 9, 1 << 4), 'beside the range nobody waits');
  t.notOk(claimed(c, 0, 20, 1 << 4));
  t.notOk(claimed(c, 1, 15, 1 << 4));
  release(c, row, boxes);
  t.strictSame(woken(boxes), [0, 2, 3, THREADS_MAX - 1]);
});

t.test('for a pin, and for a slot to be unpinned', async (t) => {
  const { slotTable, users, claims, boxes } = newZswap().shared;
  const of = (thread: number) => new Slots(slotTable, users, claims, boxes, thread);
  const owner = of(1);
  const r = owner.pin(0, 5);
  const [a, b, c] = WAITING.map(of);
  t.equal(a.pin(0, 5), EEXIST);
  t.equal(b.pin(0, 5), EEXIST);
  t.ok(c.isPinned(0, 5));
  t.equal(of(4).tryPin(0, 5), EEXIST);
  owner.unpin(r);
  t.strictSame(woken(boxes), WAITING);
  const again = owner.pin(0, 5);
  t.ok(c.isPinned(0, 5));
  t.ok(a.isPinned(0, 5));
  owner.unpin(again);
  t.strictSame([boxes[WAITING[0]], boxes[WAITING[1]], boxes[WAITING[2]]], [2, 1, 2]);
});
