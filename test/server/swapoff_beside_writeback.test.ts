// swapoff while the shrinker writes back, on a real server: nothing is left, nothing old is read, and swapon starts anew.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { makePage } from '../support/pool.ts';
import { startServer } from '../support/zswapd.ts';

const PAGE = 4096;

/** Every combination of entry and swapoff protocol that holds, besides the default. */
const SAFE = [
  ['refcount-lru-isolate', 'tree-refcount'],
  ['refcount-lru-isolate', 'drain-early-ref'],
  ['pin-validate', 'free-immediately'],
  ['pin-validate', 'tree-refcount'],
] as const;
for (const [entry, swapoff] of SAFE) {
  t.test(`${entry} with ${swapoff}: swapoff beside writeback, then swapon, again and again`, async (t) => {
    const set = [`protocol.entry=${entry}`, `protocol.swapoff=${swapoff}`, 'pool.max=1MiB'];
    const s = await startServer(t, { size: '128MiB', set });
    for (let round = 0; round < 3; round++) {
      const client = await s.connect();
      const writes: Promise<void>[] = [];
      for (let slot = 1; slot < 1600; slot++) {
        writes.push(client.write(slot * PAGE, Buffer.from(makePage('text', slot + round))));
        if (slot % 64 === 0) await Promise.all(writes);
      }
      await Promise.all(writes);
      t.match(await fetchControl(s.controlPath, '/swapoff?export=swap0&force', 'POST'), { state: 'off' });
      t.equal((await s.stats()).pool.stored_pages, 0);
      t.ok((await client.read(300 * PAGE, PAGE)).every((byte) => byte === 0));
      await client.disconnect();
      t.match(await fetchControl(s.controlPath, '/swapon?export=swap0', 'POST'), { state: 'on' });
    }
    t.ok((await s.stats()).pool.written_back_pages > 0);
    t.match(await s.stop(), { code: 0 });
  });
}

t.test('the default with --keep: a writeback that stands before its pin finds the export off', async (t) => {
  // The shrinker is at d with every page, one page per batch, and goes on for long: nearly every swapoff meets it there.
  const set = ['pool.max=1MiB', 'pool.acceptThresholdPercent=1', 'shrinker.batch=1', 'shrinker.secondChance=false'];
  const delay = ['unsafe=true', 'debug.delay={"d":20000}'];
  const s = await startServer(t, { size: '16MiB', set: [...set, ...delay] });
  for (let round = 0; round < 3; round++) {
    const client = await s.connect();
    const { reject_pool_limit: before } = (await s.stats()).pool;
    let slots = 0;
    while ((await s.stats()).pool.reject_pool_limit === before) {
      const writes = Array.from({ length: 64 }, (_, i) => slots + i);
      slots += writes.length;
      await Promise.all(writes.map((slot) => client.write(slot * PAGE, Buffer.from(makePage('text', slot + round)))));
    }
    t.match(await fetchControl(s.controlPath, '/swapoff?export=swap0&force&keep', 'POST'), { state: 'off' });
    for (const slot of [0, 1, slots - 1])
      t.ok((await client.read(slot * PAGE, PAGE)).equals(Buffer.from(makePage('text', slot + round))), `slot ${slot}`);
    await client.disconnect();
    t.match(await fetchControl(s.controlPath, '/swapon?export=swap0', 'POST'), { state: 'on' });
  }
  t.match(await s.stop(), { code: 0 });
});
