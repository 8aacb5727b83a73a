// Pages that have gone wrong while nobody reads them, on a real server: the scrub finds them in the pool and on the image.
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import t, { type Test } from 'tap';
import { askFaults, planOf } from '../../support/faults.ts';
import { makePage } from '../../support/pool.ts';
import { pageOf } from '../../support/random.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { errorOf, writeSlots } from './images.ts';

const PAGE = 4096;
const WRONG = 'a page is not what was stored';
const SCRUB = 'pool.scrub=64MiB';

type Scrubbed = { scrub_passes: number; scrub_read_errors: number; checksum_mismatch: number; scrubbed_pages: number };

async function passes(server: RunningServer, more: number): Promise<Scrubbed> {
  const pool = async (): Promise<Scrubbed> => (await server.stats()).pool;
  const { scrub_passes: before } = await pool();
  for (;;) {
    const now = await pool();
    if (now.scrub_passes >= before + more) return now;
  }
}

const notes = (lines: readonly string[]): object[] => lines.map((line) => JSON.parse(line));

for (const direct of ['auto', 'off'] as const) {
  t.test(`of an image, direct ${direct}`, async (t: Test) => {
    const server = await startServer(t, {
      size: '16MiB',
      set: [SCRUB, 'pool.max=1MiB', 'pool.incompressible=reject', `image.direct=${direct}`],
    });
    const client = await server.connect();
    await writeSlots(client, 0, 1024);
    const fd = openSync(server.image, 'r+');
    t.teardown(() => closeSync(fd));
    t.match(await passes(server, 2), { checksum_mismatch: 0, scrub_read_errors: 0 });
    const page = Buffer.alloc(PAGE);
    const slot = Array.from({ length: 1024 }, (_, i) => i).find((i) => {
      readSync(fd, page, 0, PAGE, i * PAGE);
      return page.equals(pageOf(i, 0));
    });
    if (slot === undefined) throw new Error('no page is on the image');
    page[2047] ^= 1;
    writeSync(fd, page, 0, PAGE, slot * PAGE);
    fsyncSync(fd);
    t.match(notes(await server.logged(WRONG)), [{ level: 50, export: 'swap0', slot, tier: 'image', memcg: /./ }]);
    t.match(await passes(server, 1), { checksum_mismatch: 1, scrub_read_errors: 0 });
    t.equal(await errorOf(client.read(slot * PAGE, PAGE)), 'EIO');
    await client.write(slot * PAGE, pageOf(slot, 1));
    t.strictSame(await client.read(slot * PAGE, PAGE), pageOf(slot, 1));
    await client.disconnect();
    t.equal((await server.stop()).code, 0);
  });
}

t.test('of the pool, with its age; and what can not be read is told once, and read again when it can', async (t) => {
  const server = await startServer(t, { size: '16MiB', set: [SCRUB, 'pool.incompressible=reject'] });
  const client = await server.connect();
  const text = Buffer.from(makePage('text', 1));
  const noise = Buffer.from(makePage('random', 2));
  await client.write(0, text);
  await client.write(PAGE, noise);
  await askFaults(server, 'POST', planOf({ site: 'image.read', action: 'EIO', class: 'must-detect' }));
  const told = notes(await server.logged('image operation failed'));
  t.match(told, [{ export: 'swap0', what: 'reading the image for the scrub', error: 'EIO' }]);
  t.match(await passes(server, 1), { checksum_mismatch: 0, scrub_read_errors: Number });
  t.equal((await server.logged('image operation failed')).length, 1);
  await askFaults(server, 'POST', planOf({ site: 'pool.object', action: 'flip', when: { times: 1 } }));
  t.match(notes(await server.logged(WRONG)), [{ slot: 0, tier: 'pool', ageSeconds: Number }]);
  await askFaults(server, 'DELETE');
  t.match(await passes(server, 1), { checksum_mismatch: 1 });
  t.equal(await errorOf(client.read(0, PAGE)), 'EIO');
  t.strictSame(await client.read(PAGE, PAGE), noise);
  await client.disconnect();
  t.match(await server.stop(), { code: 4, stderr: /1 page of swap0 was lost/ });
});
