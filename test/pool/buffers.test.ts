// Page buffers: a fixed set; who finds it empty is woken at the next free.
import t from 'tap';
import { createBuffers, freeBuffers, giveBuffer, pageOf, takeBuffer } from '#src/pool/buffers.js';
import { createMailboxes } from '#src/shm/mailbox.js';

t.test('each buffer is handed out once, then none is left', async (t) => {
  const b = createBuffers(3);
  t.strictSame(new Set([takeBuffer(b, 2), takeBuffer(b, 2), takeBuffer(b, 2)]), new Set([1, 2, 3]));
  t.equal(takeBuffer(b, 2), 0);
  t.equal(freeBuffers(b), 0);
});

t.test('buffers do not overlap', async (t) => {
  const b = createBuffers(2);
  pageOf(b, 1).fill(1);
  pageOf(b, 2).fill(2);
  t.ok(pageOf(b, 1).every((byte) => byte === 1));
  t.equal(pageOf(b, 1).byteOffset % 4096, 0);
});

t.test('a thread that found the set empty is woken once, and one that did not want to be is not', async (t) => {
  const b = createBuffers(1);
  const boxes = createMailboxes(8);
  const buffer = takeBuffer(b, 3);
  takeBuffer(b, 5);
  takeBuffer(b, -1);
  giveBuffer(b, buffer, boxes);
  t.strictSame([...boxes], [0, 0, 0, 0, 0, 1, 0, 0]);
  giveBuffer(b, takeBuffer(b, 3), boxes);
  t.equal(boxes[5], 1);
});
