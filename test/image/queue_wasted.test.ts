// A page that was written back for nothing is counted: its slot got newer content, or none, before the image had it.

import t from 'tap';
import { IMAGE } from '#src/image/counters.js';
import { ImageQueue } from '#src/image/image_queue.js';
import { NODE_LOOP } from '#src/os/loop.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { makePage, newZswap, put } from '../support/pool.ts';
import { open } from './images.ts';

t.test('of three pages written back, the overwritten and the trimmed one were wasted', async (t) => {
  const z = newZswap();
  const { handle } = open(t, 16);
  const onError = (what: string, errno: number) => t.fail(`${what} failed with ${errno}`);
  const queue = new ImageQueue(z, 0, handle, {
    runPages: 16,
    parallel: 1,
    syncEvery: Number.POSITIVE_INFINITY,
    loop: NODE_LOOP,
    onError,
  });
  z.onWrite = (_x, slot, buffer) => queue.push('writeback', slot, 1, buffer, null);
  for (const slot of [1, 2, 3]) {
    put(z, slot, makePage('text', slot));
    t.equal(z.protocols.entry.shrinkOne(z, 1, z.protocols.busy), SHRINK.WRITTEN);
  }
  put(z, 1, makePage('text', 11));
  z.invalidate(0, 2);
  const idle = new Promise<void>((resolve) => {
    queue.onDone = resolve;
  });
  queue.pump();
  await idle;
  t.equal(z.counters[IMAGE.writeback_wasted], 2);
  t.equal(z.counters[IMAGE.image_writes], 1, 'and neither was written');
});
