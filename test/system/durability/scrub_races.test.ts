// A scrub that never rests beside random operations, writeback, swapoff (with and without --keep), swapon and stops: every byte is
// right, nothing is called wrong, and nothing leaks. ZSWAPD_LONG=1 runs for a minute.
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { chooseSeed, Random } from '../../support/random.ts';
import { tempFolder } from '../../support/tmp.ts';
import { startServer } from '../../support/zswapd.ts';
import { DeviceModel } from '../conformance/device_model.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const RUN_MS = LONG ? 20_000 : 1000;
const OPERATIONS = LONG ? 1500 : 150;
const BYTES = 8 << 20;
const FORMS: Record<string, readonly string[]> = {
  'direct, small pool': ['pool.max=1MiB'],
  'page cache, strict, inline': ['pool.max=1MiB', 'image.direct=off', 'durability=strict', 'lanes=0'],
  'an entry that its pin does not keep': [
    'pool.max=1MiB',
    'protocol.entry=refcount-lru-isolate',
    'protocol.swapoff=tree-refcount',
  ],
};
const seed = chooseSeed();
t.setTimeout(LONG ? 400_000 : 60_000);

async function race(t: Test, form: readonly string[]): Promise<void> {
  const folder = tempFolder(t);
  const random = new Random(seed);
  const strict = form.includes('durability=strict');
  const model = new DeviceModel({ random, bytes: BYTES, strict, mayRefuse: false });
  const end = performance.now() + RUN_MS;
  let scrubbed = 0;
  let written = 0;
  // On a slow machine too the scrub has come to something.
  for (; performance.now() < end || scrubbed === 0 || written === 0; ) {
    const server = await startServer(t, { folder, size: `${BYTES}`, set: ['pool.scrub=1GiB', ...form] });
    for (const keep of ['', '&keep', null]) {
      const clients = await Promise.all([server.connect(), server.connect()]);
      await model.run(clients, OPERATIONS, Number.POSITIVE_INFINITY);
      if (keep !== null) {
        await fetchControl(server.controlPath, `/swapoff?export=swap0&force${keep}`, 'POST');
        // Slot 0 has the header of the swap area, and is kept.
        if (keep === '') model.bytes.fill(0, 4096);
      }
      await model.compare(clients[0]);
      await Promise.all(clients.map((client) => client.disconnect()));
      if (keep !== null) await fetchControl(server.controlPath, '/swapon?export=swap0', 'POST');
    }
    t.match(await fetchControl(server.controlPath, '/check', 'GET'), { quiescent: true, ok: true, problems: [] });
    const { pool } = await server.stats();
    t.match(pool, { checksum_mismatch: 0, lost_pages: 0, scrub_read_errors: 0, decompress_fail: 0 });
    scrubbed += pool.scrubbed_pages;
    written += pool.written_back_pages;
    t.match(await server.stop(), { code: 0 });
    t.ok(readFileSync(server.image).equals(model.bytes), 'the image is the model');
  }
  t.ok(scrubbed > 0 && written > 0, `${scrubbed} pages were scrubbed, ${written} written back`);
  t.comment(`${scrubbed} pages were scrubbed, ${written} written back, seed ${seed}`);
}

for (const [name, form] of Object.entries(FORMS)) t.test(name, (t) => race(t, form));
