// An image that fails to punch or to write zeros: the request is answered with the error, and its slots, whose pages have
// left the pool, are lost: EIO until somebody writes or trims them, never what the image still has. The stop says so.
import type { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { fuseImage } from '../../support/fuse_image.ts';
import { missing } from '../../support/requires.ts';
import { run } from '../../support/run_process.ts';
import { MAIN, startServer } from '../../support/zswapd.ts';
import { errorOf, isMarked, MIB, PAGE, writeSlots, wrongSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const BYTES = 16 * MIB;

async function serve(t: Test, set: readonly string[] = []) {
  const disk = await fuseImage(t, { bytes: BYTES });
  const server = await startServer(t, { size: '16MiB', image: disk.path, set });
  return { disk, server, client: await server.connect() };
}

const readError = (client: NbdClient, slot: number): Promise<string> => errorOf(client.read(slot * PAGE, PAGE));

const requests = [
  ['TRIM', (client: NbdClient) => client.trim(8 * PAGE, 4 * PAGE)],
  ['WRITE_ZEROES', (client: NbdClient) => client.writeZeroes(8 * PAGE, 4 * PAGE)],
  ['WRITE_ZEROES without holes', (client: NbdClient) => client.writeZeroes(8 * PAGE, 4 * PAGE, { noHole: true })],
] as const;

for (const [name, send] of requests) {
  t.test(`${name} on an image that fails`, { skip }, async (t) => {
    const { disk, server, client } = await serve(t);
    await writeSlots(client, 0, 16);
    for (const what of ['trim', 'zero', 'pwrite'] as const) disk.fail(what);
    t.equal(await errorOf(send(client)), 'EIO');
    t.same(await Promise.all([8, 9, 10, 11].map((slot) => readError(client, slot))), Array(4).fill('EIO'));
    t.same(await wrongSlots(client, 0, 8), [], 'its neighbours before');
    t.same(await wrongSlots(client, 12, 16), [], 'and after are what they were');
    t.equal((await server.stats()).pool.lost_pages, 4);

    for (const what of ['trim', 'zero', 'pwrite'] as const) disk.heal(what);
    await writeSlots(client, 8, 9, { version: 1 });
    t.same(await wrongSlots(client, 8, 9, { version: 1 }), [], 'a WRITE brings a slot back');
    await client.trim(9 * PAGE, PAGE);
    t.same(await client.read(9 * PAGE, PAGE), Buffer.alloc(PAGE), 'and so does a TRIM');
    t.equal(await readError(client, 10), 'EIO', 'the others stay lost');
    await client.disconnect();
    const { code, stderr } = await server.stop();
    t.equal(code, 4);
    t.match(stderr, /2 pages of swap0 were lost/);
    t.ok(isMarked(server.image));
  });
}

t.test('a stop after the last lost slot was written is clean', { skip }, async (t) => {
  const { disk, server, client } = await serve(t);
  await writeSlots(client, 0, 16);
  for (const what of ['trim', 'zero', 'pwrite'] as const) disk.fail(what);
  t.equal(await errorOf(client.trim(8 * PAGE, PAGE)), 'EIO');
  for (const what of ['trim', 'zero', 'pwrite'] as const) disk.heal(what);
  await writeSlots(client, 8, 9, { version: 1 });
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
  t.notOk(isMarked(server.image));
});

t.test('a rejected WRITE over what only the image had', { skip }, async (t) => {
  const { disk, server, client } = await serve(t, ['pool.incompressible=reject']);
  await writeSlots(client, 0, 4, { texture: 'noise' });
  disk.fail('pwrite');
  t.equal(await errorOf(writeSlots(client, 2, 3, { version: 1, texture: 'noise' })), 'EIO');
  t.equal(await readError(client, 2), 'EIO', 'the write may be torn, so its slot is lost');
  t.equal((await server.stats()).pool.lost_pages, 1);
  disk.heal('pwrite');
  t.same(await wrongSlots(client, 3, 4, { texture: 'noise' }), []);
  await client.disconnect();
  t.equal((await server.stop()).code, 4);
});

t.test('swapoff on an image that refuses to forget says so, and is asked again', { skip }, async (t) => {
  const { disk, server, client } = await serve(t, ['pool.incompressible=reject']);
  await writeSlots(client, 1, 4);
  await writeSlots(client, 4, 8, { texture: 'noise' });
  await client.disconnect();
  for (const what of ['trim', 'zero', 'pwrite'] as const) disk.fail(what);
  const refused = await run(MAIN, ['swapoff', 'swap0', '--control', server.controlPath]);
  t.equal(refused.code, 1);
  // Of an image without holes every slot was in use from the start; the first is the header's, and stays.
  const pages = BYTES / PAGE - 1;
  t.match(refused.stderr, `swap0 is off, but its image failed (EIO) and still has ${pages} of the pages`);
  t.equal((await server.stats()).exports[0].lost_pages, pages);
  for (const what of ['trim', 'zero', 'pwrite'] as const) disk.heal(what);
  t.equal((await run(MAIN, ['swapoff', 'swap0', '--control', server.controlPath])).code, 0);
  const reader = await server.connect();
  t.same(await reader.read(PAGE, 7 * PAGE), Buffer.alloc(7 * PAGE));
  await reader.disconnect();
  t.equal((await server.stop()).code, 0);
  t.notOk(isMarked(server.image));
});
