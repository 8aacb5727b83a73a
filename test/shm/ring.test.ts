// Rings and mailboxes: order, wrap, the full ring, and wake-ups from another thread.
import t from 'tap';
import { attend, createMailboxes, createRing, pop, push, RECORD_WORDS, wakeMask } from '#src/shm/mailbox.js';
import { start } from '../support/pool_threads.ts';

const record = (value: number) => new Int32Array(RECORD_WORDS).fill(value);

function popped(ring: ReturnType<typeof createRing>, boxes = createMailboxes(4)): number | null {
  const into = record(-1);
  return pop(ring, into, boxes) ? into[RECORD_WORDS - 1] : null;
}

t.test('records come out in order, around the end of the ring', async (t) => {
  const ring = createRing(4);
  push(ring, record(-7), 0);
  for (let i = 0; i < 11; i++) {
    push(ring, record(i), 0);
    t.equal(popped(ring), i === 0 ? -7 : i - 1);
  }
  t.equal(popped(ring), 10);
  t.equal(popped(ring), null);
});

t.test('a full ring refuses, changes nothing, and wakes who was refused when there is room', async (t) => {
  const ring = createRing(2);
  const boxes = createMailboxes(4);
  t.strictSame([push(ring, record(1), 3), push(ring, record(2), 3), push(ring, record(3), 3)], [true, true, false]);
  t.equal(boxes[3], 0);
  t.equal(popped(ring, boxes), 1);
  t.equal(boxes[3], 1);
  t.equal(popped(ring, boxes), 2);
  t.equal(boxes[3], 1, 'once');
  t.equal(popped(ring, boxes), null);
});

t.test('a ring that never runs empty goes on when its counts wrap', async (t) => {
  const ring = createRing(4);
  ring.control[1] = 2 ** 31 - 2;
  ring.control[2] = 2 ** 31 - 2;
  for (let i = 0; i < 4; i++) t.ok(push(ring, record(i), 0));
  t.notOk(push(ring, record(4), 0), 'full is seen across the wrap');
  t.strictSame([popped(ring), popped(ring), popped(ring)], [0, 1, 2]);
  for (let i = 4; i < 7; i++) t.ok(push(ring, record(i), 0));
  t.strictSame([popped(ring), popped(ring), popped(ring), popped(ring)], [3, 4, 5, 6]);
  t.equal(popped(ring), null);
});

t.test('wakeMask wakes every thread whose bit is set', async (t) => {
  const boxes = createMailboxes(18);
  wakeMask(boxes, (1 << 0) | (1 << 2) | (1 << 17));
  t.strictSame(
    [...boxes].flatMap((count, thread) => (count > 0 ? [thread] : [])),
    [0, 2, 17],
  );
});

t.test('two threads send through a small ring; each one keeps its order, and nothing is lost', async (t) => {
  const ring = createRing(8);
  const boxes = createMailboxes(4);
  const count = 20_000;
  const next = new Map([
    [2, 0],
    [3, 0],
  ]);
  const senders = [2, 3].map((thread) => start('ring', { ring, boxes, to: 1, count }, thread));
  const into = record(0);
  let left = 2 * count;
  let wrong = 0;
  const look = (): void => {
    while (pop(ring, into, boxes)) {
      left--;
      const [thread, , , , , number] = into;
      if (number !== next.get(thread)) wrong++;
      next.set(thread, number + 1);
    }
  };
  await attend(boxes, 1, look, () => left === 0);
  t.equal(wrong, 0);
  await Promise.all(senders);
});
