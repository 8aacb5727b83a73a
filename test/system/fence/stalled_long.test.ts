/**
 * An image that stands still for longer than any wait between threads may take: its requests wait, and that is all. Lanes
 * hold pins over image calls, so what looks for stranded pins must leave those alone.
 */
import { open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { dropCache } from '#src/os/syscalls.js';
import { STUCK_MS } from '#src/shm/sync.js';
import { LOOK_MS } from '#src/zswap/pin_watch.js';
import { noise, PAGE, text } from './peer.ts';
import { stallMissing, startStalled } from './stalled_server.ts';

const HOP = 100;
const ON_IMAGE = 200;

t.jobs = 2;

/** Throws out what the page cache has of the image, so that a read of it needs the image. */
async function forget(path: string): Promise<void> {
  const file = await open(path);
  const code = await new Promise((resolve) => dropCache(file.fd, resolve));
  await file.close();
  if (code !== 0) throw new Error(`the page cache was not dropped: ${code}`);
}

for (const lanes of [0, 2] as const) {
  t.test(`${lanes} lanes: nothing trips over a stalled image`, { skip: stallMissing() }, async (t) => {
    const s = await startStalled(t, { transport: 'unix', lanes });
    const clients = await Promise.all(Array.from({ length: 6 }, () => s.server.connect()));
    const [holder, writer, reader, trimmer, zeroer, late] = clients;
    const bytes = noise(2);
    await holder.write(ON_IMAGE * PAGE, bytes);
    await forget(s.server.image);
    const parks = await s.counter('parks');
    await s.pause();
    // A pin held over an image write, and one over an image read; then everything that can wait for them.
    const held = [holder.write(HOP * PAGE, noise(1)), reader.read(ON_IMAGE * PAGE, PAGE)];
    await s.reached('reject_compress_poor', 3);
    await s.reached('image_reads', 1);
    const waiting = [
      writer.write(HOP * PAGE, text('NEW', 1)),
      trimmer.trim(HOP * PAGE, PAGE),
      zeroer.writeZeroes(ON_IMAGE * PAGE + 10, 10),
      late.read(ON_IMAGE * PAGE, PAGE),
    ];
    await s.reached('parks', parks + waiting.length);
    // Nothing is to happen, so there is nothing to wait for but the time in which it might.
    await pause(STUCK_MS + 3 * LOOK_MS);
    await s.resume();
    const [, found] = await Promise.all([...held, ...waiting]);
    t.ok(bytes.subarray(0, PAGE).equals(found as Buffer));
    await Promise.all(clients.map((client) => client.disconnect()));
    t.match(await s.server.stop(), { code: 0 });
  });
}
