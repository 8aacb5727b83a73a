// Mailboxes and the bookkeeping of rings: nobody who was refused or sleeps is forgotten.
import t from 'tap';
import {
  attend,
  createMailboxes,
  createRing,
  pop,
  push,
  RECORD_WORDS,
  ringLength,
  wake,
  wakeMask,
} from '#src/shm/mailbox.js';
import { notified } from '../support/facade.ts';

const record = (first: number) => Int32Array.from({ length: RECORD_WORDS }, (_, i) => first + i);

t.test('every thread that a full ring refused is woken by the next record that leaves it', async (t) => {
  const ring = createRing(1);
  const boxes = createMailboxes(18);
  push(ring, record(0), 0);
  for (const thread of [0, 5, 17, 5]) t.notOk(push(ring, record(0), thread));
  t.ok(pop(ring, record(0), boxes));
  t.strictSame(
    [...boxes].flatMap((count, thread) => (count > 0 ? [[thread, count]] : [])),
    [
      [0, 1],
      [5, 1],
      [17, 1],
    ],
  );
});

t.test('a record that was taken wakes nobody where nobody was refused', async (t) => {
  const ring = createRing(2);
  const boxes = createMailboxes(4);
  push(ring, record(0), 3);
  push(ring, record(0), 3);
  pop(ring, record(0), boxes);
  pop(ring, record(0), boxes);
  t.strictSame([...boxes], [0, 0, 0, 0]);
});

t.test('each word of a record comes out as it went in, at every place of the ring', async (t) => {
  const ring = createRing(4);
  const boxes = createMailboxes(1);
  const into = record(0);
  push(ring, record(-100), 0);
  for (let i = 0; i < 9; i++) {
    push(ring, record(i * 10), 0);
    pop(ring, into, boxes);
    t.strictSame(into, record(i === 0 ? -100 : (i - 1) * 10));
  }
});

t.test('an empty ring starts again at 0, and gives nothing', async (t) => {
  const ring = createRing(4);
  const boxes = createMailboxes(1);
  const into = record(77);
  for (let i = 0; i < 3; i++) push(ring, record(i), 0);
  for (let i = 0; i < 3; i++) pop(ring, into, boxes);
  t.strictSame([...ring.control], [0, 0, 0, 0]);
  into.set(record(77));
  t.notOk(pop(ring, into, boxes));
  t.strictSame(into, record(77), 'what the caller had stays');
});

t.test('the length is right across the wrap of the counts', async (t) => {
  const ring = createRing(8);
  const boxes = createMailboxes(1);
  ring.control[1] = 2 ** 31 - 2;
  ring.control[2] = 2 ** 31 - 2;
  t.equal(ringLength(ring), 0);
  for (let i = 0; i < 5; i++) push(ring, record(i), 0);
  t.equal(ringLength(ring), 5);
  pop(ring, record(0), boxes);
  t.equal(ringLength(ring), 4);
});

t.test('a wake-up changes the word, also at the end of its range, and notifies whoever sleeps on it', async (t) => {
  const boxes = createMailboxes(3);
  boxes[1] = 2 ** 31 - 1;
  const calls = notified(() => wake(boxes, 1));
  t.strictSame([...boxes], [0, -(2 ** 31), 0]);
  t.strictSame([calls.length, calls[0].words === boxes, calls[0].index], [1, true, 1]);
});

t.test('a mask wakes no other thread than those in it', async (t) => {
  const boxes = createMailboxes(31);
  for (let thread = 0; thread < 31; thread++) wakeMask(boxes, 1 << thread);
  t.ok(boxes.every((count) => count === 1));
  wakeMask(boxes, 0);
  t.ok(boxes.every((count) => count === 1));
});

t.test('who attends looks once for wake-ups that came together, and stops when told', async (t) => {
  const boxes = createMailboxes(2);
  let looks = 0;
  let stop = false;
  const attending = attend(
    boxes,
    1,
    () => {
      looks++;
      stop = true;
    },
    () => stop,
  );
  wake(boxes, 1);
  wake(boxes, 1);
  await attending;
  t.equal(looks, 1);
});

t.test('who attends sleeps on the word as it was at its last look, and not on an older one', async (t) => {
  const boxes = createMailboxes(1);
  const values: number[] = [];
  const real = Atomics.waitAsync;
  Atomics.waitAsync = ((words: Int32Array, index: number, value: number, ms: number) => {
    values.push(value);
    return real(words, index, value, ms);
  }) as typeof Atomics.waitAsync;
  t.teardown(() => {
    Atomics.waitAsync = real;
  });
  wake(boxes, 0);
  const attending = attend(
    boxes,
    0,
    () => {
      if (values.length < 3) wake(boxes, 0);
    },
    () => values.length === 3,
  );
  wake(boxes, 0);
  await attending;
  t.strictSame(values, [1, 2, 3]);
});
