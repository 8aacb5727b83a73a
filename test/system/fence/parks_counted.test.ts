/**
 * `parks` counts requests that had to wait: each once, though it is woken by every image operation that ends, looks, and
 * waits on.
 */
import t from 'tap';
import { noise, PAGE, text } from './peer.ts';
import { stallMissing, startStalled } from './stalled_server.ts';

const HOP = 100;
const TRIMMED = 300;
/** Operations that the image does one by one before HOP is free: each wakes whoever waits. */
const BETWEEN = 16;

for (const lanes of [0, 2] as const) {
  t.test(`${lanes} lanes: a WRITE, a READ, a TRIM and a part of a page wait`, { skip: stallMissing() }, async (t) => {
    const s = await startStalled(t, { transport: 'unix', lanes });
    const holder = await s.connect();
    await holder.done(holder.write(TRIMMED, text('used', BETWEEN)));
    await s.pause();
    await holder.send(...Array.from({ length: BETWEEN }, (_, i) => holder.trim((TRIMMED + i) * PAGE, PAGE)));
    await s.reached('trims', BETWEEN);
    await holder.send(holder.write(HOP, noise(1)));
    await s.reached('reject_compress_poor', 1);
    const before = await s.counter('parks');

    const [reader, writer, zeroer, trimmer] = await Promise.all(Array.from({ length: 4 }, () => s.server.connect()));
    const requests = [
      () => writer.write(HOP * PAGE, text('NEW', 2)),
      () => reader.read(HOP * PAGE, 2 * PAGE),
      () => zeroer.writeZeroes(HOP * PAGE + 100, 100),
      () => trimmer.trim(HOP * PAGE, PAGE),
    ];
    const sent: Promise<unknown>[] = [];
    for (const [i, request] of requests.entries()) {
      sent.push(request());
      await s.reached('parks', before + i + 1);
    }
    await s.resume();
    await Promise.all(sent);
    await holder.answered(BETWEEN + 2);
    t.equal((await s.counter('parks')) - before, requests.length);
    await Promise.all([reader, writer, zeroer, trimmer].map((client) => client.disconnect()));
    t.match(await s.server.stop(), { code: 0 });
  });
}
