// Page buffers: a fixed set; who finds it empty is woken at the next free.
import t from 'tap';
import {
  buffersFor,
  createBuffers,
  freeBuffers,
  giveBuffer,
  pageOf,
  takeBuffer,
  takenBuffers,
} from '#src/pool/buffers.js';
import { createMailboxes } from '#src/shm/mailbox.js';

t.test('each buffer is handed out once, then none is left', async (t) => {
  const b = createBuffers(3, 1);
  t.strictSame(new Set([takeBuffer(b, 0, 2), takeBuffer(b, 0, 2), takeBuffer(b, 0, 2)]), new Set([1, 2, 3]));
  t.equal(takeBuffer(b, 0, 2), 0);
  t.equal(freeBuffers(b), 0);
});

t.test('buffers do not overlap', async (t) => {
  const b = createBuffers(2, 1);
  pageOf(b, 1).fill(1);
  pageOf(b, 2).fill(2);
  t.ok(pageOf(b, 1).every((byte) => byte === 1));
  t.equal(pageOf(b, 1).byteOffset % 4096, 0);
});

t.test('a thread that found the set empty is woken once, and one that did not want to be is not', async (t) => {
  const b = createBuffers(1, 1);
  const boxes = createMailboxes(8);
  const buffer = takeBuffer(b, 0, 3);
  takeBuffer(b, 0, 5);
  takeBuffer(b, 0, -1);
  giveBuffer(b, buffer, boxes);
  t.strictSame([...boxes], [0, 0, 0, 0, 0, 1, 0, 0]);
  giveBuffer(b, takeBuffer(b, 0, 3), boxes);
  t.equal(boxes[5], 1);
});

t.test('an export that takes what it can get leaves each other one its part', async (t) => {
  const b = createBuffers(12, 3);
  const all = (x: number): number[] => {
    const taken: number[] = [];
    for (let buffer = takeBuffer(b, x, -1); buffer !== 0; buffer = takeBuffer(b, x, -1)) taken.push(buffer);
    return taken;
  };
  t.equal(buffersFor(b, 0), 8);
  const [greedy, second, third] = [all(0), all(1), all(2)];
  t.strictSame([greedy.length, second.length, third.length], [8, 2, 2], 'a half is divided, the rest is for the first');
  t.equal(new Set([...greedy, ...second, ...third]).size, 12);
  t.equal(takenBuffers(b), 12);
  for (const buffer of [...greedy, ...second, ...third]) giveBuffer(b, buffer, createMailboxes(8));
  t.strictSame(
    [0, 1, 2].map((x) => buffersFor(b, x)),
    [8, 8, 8],
    'and all of it comes back',
  );
});

t.test('who waits is woken by what it may have: of its own part, or of the rest', async (t) => {
  const b = createBuffers(8, 2);
  const boxes = createMailboxes(8);
  const first = Array.from({ length: 6 }, () => takeBuffer(b, 0, -1));
  const second = Array.from({ length: 2 }, () => takeBuffer(b, 1, -1));
  t.equal(takeBuffer(b, 0, 3), 0);
  t.equal(takeBuffer(b, 1, 4), 0);
  giveBuffer(b, second[0], boxes);
  t.strictSame([boxes[3], boxes[4]], [0, 1], 'a part belongs to its export alone');
  t.equal(takeBuffer(b, 0, 3), 0, 'nobody else can have it');
  t.equal(takeBuffer(b, 1, -1), second[0]);
  t.equal(takeBuffer(b, 1, 4), 0);
  giveBuffer(b, first[0], boxes);
  t.strictSame([boxes[3], boxes[4]], [1, 2], 'the rest is for everybody');
});

t.test('a buffer that is given back twice, or was never taken, is a defect of ours', async (t) => {
  const b = createBuffers(4, 1);
  const boxes = createMailboxes(8);
  const buffer = takeBuffer(b, 0, -1);
  giveBuffer(b, buffer, boxes);
  t.throws(() => giveBuffer(b, buffer, boxes), /given back once/);
});
