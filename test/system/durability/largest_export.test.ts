// Exports of 8 TiB, the largest there are: slots up to 2^31 - 1, offsets up to 2^43, at any pool size.
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { makePage } from '../../support/pool.ts';
import { tempFolder } from '../../support/tmp.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { isMarked, PAGE } from './images.ts';

t.setTimeout(120_000);

const SLOTS = 2 ** 31;
const SIZE = SLOTS * PAGE;
const TRIM = 2 ** 31;
/** Both ends, and where offsets pass 2^31, 2^32 and 2^42, slots 2^30 (the middle), and bits a word or a tree. */
const PLACES = [0, 1, 31, 32, 16_383, 16_384, 2 ** 19 - 1, 2 ** 19, 2 ** 20 - 1, 2 ** 20, 2 ** 30 - 1, 2 ** 30].concat([
  SLOTS - 65,
  SLOTS - 2,
  SLOTS - 1,
]);

/** Pages that go to the pool, and pages that go to the image because they do not compress. */
const page = (slot: number): Buffer => Buffer.from(makePage(slot % 3 === 0 ? 'random' : 'text', slot % 100_003));

function start(t: Test, folder: string, set: readonly string[], names = ['a', 'b']): Promise<RunningServer> {
  const exports = names.map((name) => ({ name, size: '8TiB', image: join(folder, `${name}.img`) }));
  return startServer(t, { folder, exports, set });
}

async function write(client: NbdClient, slots: readonly number[]): Promise<void> {
  for (const slot of slots) await client.write(slot * PAGE, page(slot));
}

async function wrong(client: NbdClient, slots: readonly number[]): Promise<number[]> {
  const found: number[] = [];
  for (const slot of slots) if (!(await client.read(slot * PAGE, PAGE)).equals(page(slot))) found.push(slot);
  return found;
}

function onImage(path: string, slot: number): Buffer {
  const fd = openSync(path, 'r');
  const bytes = Buffer.alloc(PAGE);
  readSync(fd, bytes, 0, PAGE, slot * PAGE);
  closeSync(fd);
  return bytes;
}

for (const pool of ['pool.max=8GiB', 'pool.max=1MiB']) {
  t.test(`two of them with ${pool}: every place reads back, also from the image after a stop`, async (t) => {
    const folder = tempFolder(t);
    const server = await start(t, folder, [pool, 'debug.oracle=true']);
    for (const name of ['a', 'b']) {
      const client = await NbdClient.connect({ socketPath: server.socketPath, export: name, baseAllocation: true });
      t.equal(client.size, SIZE);
      await write(client, PLACES);
      t.same(await wrong(client, PLACES), [], name);
      t.ok((await client.read((SLOTS - 3) * PAGE, PAGE)).equals(Buffer.alloc(PAGE)), 'a slot that was never written');
      const [hole, data] = await client.blockStatus((SLOTS - 64) * PAGE, 64 * PAGE);
      t.same([hole.length, data.length], [62 * PAGE, 2 * PAGE]);
      await client.disconnect();
    }
    const { exports, pool: counted } = await server.stats();
    t.match(exports, [{ used_pages: PLACES.length }, { used_pages: PLACES.length }]);
    t.equal(counted.checksum_mismatch, 0);
    t.equal((await server.stop()).code, 0);
    for (const name of ['a', 'b']) {
      const image = join(folder, `${name}.img`);
      t.equal(statSync(image).size, SIZE);
      t.notOk(isMarked(image));
      t.same(
        PLACES.filter((slot) => !onImage(image, slot).equals(page(slot))),
        [],
        'the image has every page at its place',
      );
    }
    const again = await start(t, folder, [pool]);
    const client = await NbdClient.connect({ socketPath: again.socketPath, export: 'b' });
    t.same(await wrong(client, PLACES), []);
    t.equal((await again.stats()).exports[1].used_pages, PLACES.length);
    await client.disconnect();
    t.equal((await again.stop()).code, 0);
  });
}

t.test('strict: flushed and persisted pages at both ends outlive a killed server', async (t) => {
  const folder = tempFolder(t);
  const first = await start(t, folder, ['durability=strict'], ['a']);
  const client = await NbdClient.connect({ socketPath: first.socketPath, export: 'a' });
  await write(client, PLACES.slice(0, -1));
  await client.flush();
  await client.write((SLOTS - 1) * PAGE, page(SLOTS - 1), { fua: true });
  await first.kill9();
  const second = await start(t, folder, ['durability=strict'], ['a']);
  const reader = await NbdClient.connect({ socketPath: second.socketPath, export: 'a' });
  t.same(await wrong(reader, PLACES), []);
  await reader.disconnect();
  t.equal((await second.stop()).code, 0);
});

t.test('a discard of the whole device, as mkswap sends it, leaves nothing', async (t) => {
  const folder = tempFolder(t);
  const server = await start(t, folder, ['pool.max=1MiB'], ['a']);
  const client = await NbdClient.connect({ socketPath: server.socketPath, export: 'a' });
  await write(client, PLACES);
  for (let at = 0; at < SIZE; at += TRIM) await client.trim(at, TRIM);
  for (const slot of PLACES) t.ok((await client.read(slot * PAGE, PAGE)).equals(Buffer.alloc(PAGE)), `slot ${slot}`);
  const stats = await server.stats();
  t.equal(stats.exports[0].used_pages, 0);
  t.equal(stats.pool.stored_pages, 0);
  await write(client, PLACES.slice(-3));
  await client.writeZeroes((SLOTS - 2) * PAGE, 2 * PAGE, { noHole: true });
  t.ok((await client.read((SLOTS - 2) * PAGE, 2 * PAGE)).equals(Buffer.alloc(2 * PAGE)));
  t.same(await wrong(client, [SLOTS - 65]), []);
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});
