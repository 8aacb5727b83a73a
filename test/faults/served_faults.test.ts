// Faults of images and of the pool on a real server: what clients see of them.

import type { NbdError } from 'node-nbd-server';
import t from 'tap';
import { askFaults as ask, planOf as plan } from '../support/faults.ts';
import { makePage } from '../support/pool.ts';
import { startServer } from '../support/zswapd.ts';

const PAGE = 4096;

/** Pages that do not compress go to the image at once. */
const noise = (number: number): Buffer => Buffer.from(makePage('random', number));
const text = (number: number): Buffer => Buffer.from(makePage('text', number));

t.test('an image write that fails is told to the WRITE that met it, and its slot is what it was', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.write(0, text(1));
  await ask(server, 'POST', plan({ id: 'eio', site: 'image.write', action: 'EIO', when: { times: 1 } }));
  await t.rejects(client.write(0, noise(2)), { code: 'EIO' });
  t.strictSame(await client.read(0, PAGE), text(1));
  await client.write(0, noise(2));
  t.strictSame(await client.read(0, PAGE), noise(2));
  const { faults, events } = await ask(server, 'GET');
  t.match(faults, [{ id: 'eio', injected: 1 }]);
  t.match(events, [{ n: 1, id: 'eio', slot: 0, export: 'swap0' }]);
  t.strictSame((await ask(server, 'GET', '', '?after=1')).events, []);
  await client.disconnect();
});

t.test('writeback that fails is tolerated: every page reads right, and is on the image in the end', async (t) => {
  const server = await startServer(t, { set: ['pool.max=1MiB'] });
  const client = await server.connect();
  await ask(server, 'POST', plan({ site: 'image.write', action: 'EIO', when: { interval: 2, times: 40 } }));
  const pages = Array.from({ length: 1000 }, (_, slot) => text(slot + 1));
  await Promise.all(
    pages.map((page, slot) =>
      client
        .write(slot * PAGE, page)
        .catch((error) => client.write(slot * PAGE, page).catch(() => Promise.reject(error))),
    ),
  );
  for (const [slot, page] of pages.entries()) {
    if (!page.equals(await client.read(slot * PAGE, PAGE))) t.fail(`slot ${slot}`);
  }
  const [{ injected }] = (await ask(server, 'GET')).faults;
  t.ok(injected > 0, `${injected} injected`);
  await ask(server, 'DELETE');
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});

t.test('an image write that is lost, torn or misdirected is noticed when the page is read', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  for (const [i, action] of ['lost', 'torn', 'misdirected'].entries()) {
    const first = i * 3;
    const pages = [0, 1, 2].map((slot) => noise(1 + first + slot));
    await client.write(first * PAGE, pages[0]);
    await ask(server, 'POST', plan({ site: 'image.write', action, class: 'must-detect' }));
    await client.write((first + 1) * PAGE, pages[1]);
    await client.write((first + 2) * PAGE, pages[2]);
    await ask(server, 'DELETE');
    const wrong: number[] = [];
    for (const [slot, page] of pages.entries()) {
      const read = await client.read((first + slot) * PAGE, PAGE).catch((error: NbdError) => error.code);
      if (read === 'EIO') wrong.push(slot);
      else t.strictSame(read, page, `${action}: slot ${slot}`);
    }
    // A misdirected write needs a slot to hit: the first of them comes to rest where it belongs, and is hit by the second.
    t.strictSame(wrong, [1, 2], action);
  }
  t.equal((await server.stats()).pool.checksum_mismatch, 6);
  await client.write(PAGE, noise(9));
  t.strictSame(await client.read(PAGE, PAGE), noise(9), 'a slot that is written again is good again');
  await client.disconnect();
});

t.test('a flipped bit is EIO, and never data', async (t) => {
  const server = await startServer(t, { set: ['pool.incompressible=store'] });
  const client = await server.connect();
  for (let slot = 0; slot < 20; slot++) await client.write(slot * PAGE, slot % 2 === 0 ? noise(slot) : text(slot));
  await ask(server, 'POST', plan({ site: 'pool.object', action: 'flip' }));
  for (let slot = 0; slot < 20; slot++) await t.rejects(client.read(slot * PAGE, PAGE), { code: 'EIO' });
  const { pool } = await server.stats();
  t.equal(pool.checksum_mismatch, 10, 'raw pages by their sums');
  t.ok(pool.decompress_fail >= 10, 'the others by zstd');
  await client.disconnect();
});

t.test('what hangs goes on when the plan is cleared', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.write(0, noise(1));
  await ask(server, 'POST', plan({ id: 'h', site: 'image.read', action: 'hang' }));
  const read = client.read(0, PAGE);
  await server.logged('fault injected: image.read hang');
  await client.write(PAGE, text(1));
  t.strictSame(await client.read(PAGE, PAGE), text(1), 'others are served');
  await ask(server, 'DELETE');
  t.strictSame(await read, noise(1));
  t.match(await ask(server, 'GET'), { plan: null, faults: [], events: [] });
  const rest = await ask(server, 'GET', '', '?after=0');
  t.match(rest, { faults: [{ armed: false, active: false, injected: 1 }], events: [{ n: 1 }] });
  await client.disconnect();
});
