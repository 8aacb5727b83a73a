// The image queue: order per slot, runs, what is not written, what is tried again, and when it syncs.
import t from 'tap';
import { IMAGE } from '#src/image/counters.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { sum } from '#src/shm/counters.js';
import { type ImageThread, imageThread, PAGES } from '../support/image_thread.ts';
import { makePage, put, take } from '../support/pool.ts';

const A = makePage('text', 1);
const B = makePage('text', 2);

/** Stores pages, coldest first, and writes them all back into the queue. */
function writeBack(i: ImageThread, slots: readonly number[]): void {
  for (const slot of slots) put(i.z, slot, makePage('text', slot));
  for (const slot of slots) if (i.shrink() !== SHRINK.WRITTEN) throw new Error(`slot ${slot} is not written back`);
}

/** What is counted of the image, by name. */
function counted(i: ImageThread): Record<keyof typeof IMAGE, number> {
  const found = Object.entries(IMAGE).map(([name, column]) => [name, sum(i.shared.counters, column)]);
  return Object.fromEntries(found) as Record<keyof typeof IMAGE, number>;
}

/** A `clean` of slot `slot` from a request buffer that holds `page`. */
function queueCopy(i: ImageThread, slot: number, page: Uint8Array, buffer: number): { errno: number | null } {
  const answer: { errno: number | null } = { errno: null };
  i.shared.requestBuffers.memory.set(page, buffer * 4096);
  i.queue.push('clean', slot, 1, buffer, (errno) => {
    answer.errno = errno;
  });
  return answer;
}

t.test('adjacent slots go in one call, in ascending order, whatever order they came in', async (t) => {
  const i = imageThread(t, { buffers: 32 }, { parallel: 8 });
  writeBack(i, [7, 3, 5, 4, 9, 6]);
  i.look();
  t.strictSame(i.image.underway.sort(), ['write 3+5', 'write 9+1']);
  i.settle();
  for (const slot of [3, 4, 5, 6, 7, 9])
    t.strictSame(i.image.page(slot).slice(), makePage('text', slot), `slot ${slot}`);
  t.equal(i.shared.counters.length > 0 && i.queue.idle, true);
});

t.test('a run has at most runPages pages', async (t) => {
  const i = imageThread(t, { buffers: 32 }, { parallel: 8, runPages: 4 });
  writeBack(i, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  i.look();
  t.strictSame(i.image.underway.sort(), ['write 0+4', 'write 4+4', 'write 8+1']);
});

t.test('no more than `parallel` calls are under way', async (t) => {
  const i = imageThread(t, { buffers: 32 }, { parallel: 2 });
  writeBack(i, [0, 10, 20, 30]);
  i.look();
  t.equal(i.image.calls.length, 2);
  i.image.end();
  t.equal(i.image.calls.length, 2);
  i.settle();
  t.strictSame(i.image.page(30).slice(), makePage('text', 30));
});

t.test('two writes of one slot are in order, and never under way together', async (t) => {
  const i = imageThread(t, {}, { parallel: 8 });
  queueCopy(i, 5, A, 1);
  queueCopy(i, 5, B, 2);
  queueCopy(i, 9, A, 3);
  i.look();
  t.strictSame(i.image.underway, ['write 5+1']);
  i.settle();
  t.strictSame(i.image.page(5).slice(), B);
  t.strictSame(i.image.page(9).slice(), A);
});

t.test('a punch waits for what was queued before it, and holds up what comes after', async (t) => {
  const i = imageThread(t, {}, { parallel: 8 });
  queueCopy(i, 5, A, 1);
  let punched = -1;
  i.queue.push('punch', 4, 3, 0, (errno) => {
    punched = errno;
  });
  queueCopy(i, 6, B, 2);
  i.look();
  t.strictSame(i.image.underway, ['write 5+1']);
  i.image.end();
  t.strictSame(i.image.underway, ['punch 4+3']);
  i.image.end();
  t.equal(punched, 0);
  t.strictSame(i.image.underway, ['write 6+1']);
  i.settle();
  t.strictSame(i.image.page(5).slice(), new Uint8Array(4096));
  t.strictSame(i.image.page(6).slice(), B);
});

for (const kind of ['punch', 'zero', 'sync'] as const) {
  t.test(`the error of a ${kind} is what its owner is told`, async (t) => {
    const i = imageThread(t);
    let told = -1;
    i.queue.push(kind, 4, 3, 0, (errno) => {
      told = errno;
    });
    i.look();
    i.image.end(28);
    t.equal(told, 28);
    t.strictSame(i.errors, [`${kind} 28`]);
  });
}

t.test('a run that fails is tried page by page, so that one bad page fails alone', async (t) => {
  const i = imageThread(t, {}, { parallel: 8 });
  const answers = [A, B, A].map((page, n) => queueCopy(i, 5 + n, page, n + 1));
  i.look();
  t.strictSame(i.image.underway, ['write 5+3']);
  i.image.fail();
  t.equal(i.image.calls.length, 3);
  while (i.image.calls.length > 0) {
    if (i.image.underway[0] === 'write 6+1') i.image.fail();
    else i.image.end();
  }
  t.strictSame(
    answers.map(({ errno }) => errno),
    [0, 5, 0],
  );
  t.strictSame(i.image.page(7).slice(), A);
});

t.test('a page whose slot got newer content before its write began is not written', async (t) => {
  const i = imageThread(t);
  writeBack(i, [5]);
  put(i.z, 5, B);
  i.look();
  t.strictSame(i.image.underway, []);
  t.strictSame(take(i.z, 5).page, B);
});

t.test('a page whose write failed stays readable, and is tried again by itself', async (t) => {
  const i = imageThread(t);
  writeBack(i, [5]);
  i.look();
  i.image.fail();
  t.strictSame(take(i.z, 5).page, makePage('text', 5));
  // The timer, which pumps the queue itself.
  while (i.image.calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  i.image.end();
  i.look();
  t.strictSame(i.image.page(5).slice(), makePage('text', 5));
  t.equal(
    i.z.slots.t.page.every((buffer) => buffer === 0),
    true,
    'and its buffer is free',
  );
});

t.test('a rejected page that reached the image takes the place of a parked one', async (t) => {
  const i = imageThread(t);
  writeBack(i, [5]);
  i.look();
  i.image.fail();
  i.shared.requestBuffers.memory.set(B, 4096);
  let told = -1;
  i.queue.push('write', 5, 1, 1, (errno) => {
    told = errno;
  });
  i.settle();
  t.equal(told, 0);
  i.queue.retryParked();
  i.settle();
  t.strictSame(i.image.page(5).slice(), B, 'the parked page is not written over it');
});

t.test('in buffered mode there is a sync after syncEvery bytes, before anything else', async (t) => {
  const i = imageThread(t, { buffers: 32 }, { syncEvery: 3 * 4096 });
  writeBack(i, [0, 10, 20, 30, 40]);
  const order: string[] = [];
  i.look();
  while (i.image.calls.length > 0) {
    order.push(i.image.underway[0]);
    i.image.end();
  }
  t.strictSame(order, ['write 0+1', 'write 10+1', 'write 20+1', 'write 30+1', 'write 40+1', 'sync']);
  order.length = 0;
  writeBack(i, [100, 110, 120]);
  writeBack(i, [130]);
  i.look();
  i.settle();
  t.equal(i.image.calls.length, 0);
});

t.test('in buffered mode zeros count as what they fill, and holes only where they are zeros', async (t) => {
  const i = imageThread(t, { buffers: 32 }, { syncEvery: 8 * 4096 });
  const calls = (kind: 'punch' | 'zero', slots: number): string[] => {
    i.queue.push(kind, 0, slots, 0, () => undefined);
    i.queue.pump();
    const order: string[] = [];
    while (i.image.calls.length > 0) {
      order.push(i.image.underway[0].split(' ')[0]);
      i.image.end();
    }
    return order;
  };
  t.strictSame(calls('zero', 7), ['zero']);
  t.strictSame(calls('zero', 1), ['zero', 'sync']);
  t.strictSame(calls('punch', 100), ['punch']);
  i.image.punches = false;
  t.strictSame(calls('punch', 8), ['punch', 'sync']);
});

t.test('what is done is forgotten, also by a queue that is never empty', async (t) => {
  const i = imageThread(t, { buffers: 32 });
  for (let n = 0; n < 6000; n++) {
    queueCopy(i, n % PAGES, A, 1 + (n % 8));
    if (n < 300) continue;
    i.look();
    if (i.image.calls.length > 0) i.image.end();
  }
  const { queue } = i.queue as unknown as { queue: unknown[] };
  t.ok(queue.length < 4000, `${queue.length} operations are kept`);
  i.settle();
  t.ok(i.queue.idle);
});

t.test('failures are counted', async (t) => {
  const i = imageThread(t);
  writeBack(i, [5]);
  i.look();
  i.image.fail();
  t.match(counted(i), { writeback_failed: 1, image_runs: 1, image_write_errors: 1, image_writes: 0 });
});

t.test(
  'a page, a punch or a sync counts when the image has done it, and as the failure of its kind else',
  async (t) => {
    const i = imageThread(t);
    writeBack(i, [5, 6]);
    i.look();
    t.match(counted(i), { image_runs: 1, image_writes: 0 }, 'under way');
    i.image.end();
    t.match(counted(i), { image_runs: 1, image_writes: 2, image_write_errors: 0 });
    for (const [kind, column] of [
      ['punch', 'image_punch_errors'],
      ['zero', 'image_punch_errors'],
      ['sync', 'image_sync_errors'],
    ] as const) {
      const before = counted(i);
      for (const end of [() => i.image.fail(), () => i.image.end()]) {
        i.queue.push(kind, 4, 3, 0, null);
        i.queue.pump();
        end();
      }
      const after = counted(i);
      t.equal(after[column], before[column] + 1, `a ${kind} that failed`);
      t.equal(after.image_punches, before.image_punches + (kind === 'sync' ? 0 : 1), `a ${kind} that did not`);
      t.equal(after.image_write_errors, 0);
    }
  },
);

t.test('pages that the image refuses are nothing that it took, however often they are tried', async (t) => {
  const i = imageThread(t);
  writeBack(i, [5]);
  i.look();
  i.image.fail();
  for (let tries = 1; tries <= 3; tries++) {
    i.queue.retryParked();
    i.image.fail();
    t.match(counted(i), { image_writes: 0, image_punches: 0, image_write_errors: tries + 1 });
  }
});
