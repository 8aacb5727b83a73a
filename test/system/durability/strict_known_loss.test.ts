// Strict, and the server itself knows that something flushed is not there any more: from then on its marker vouches for nothing,
// whether it is killed or stopped, until all of it was written and flushed again.
import { closeSync, fsyncSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loopOver, mount, mountsMissing } from '../../image/images.ts';
import { makePage } from '../../support/pool.ts';
import { failedStart, type RunningServer, startServer } from '../../support/zswapd.ts';
import { errorOf, isMarked, MIB, PAGE, writeSlots } from './images.ts';

const skip = mountsMissing();
const STRICT = { size: '8MiB', set: ['durability=strict', 'pool.incompressible=reject'] } as const;
const SLOT = 70;

/** What the image has at a slot is another page now, as on a disk that has lost or misdirected a write. */
function spoil(server: RunningServer): void {
  const fd = openSync(server.image, 'r+');
  writeSync(fd, makePage('random', 99), 0, PAGE, SLOT * PAGE);
  fsyncSync(fd);
  closeSync(fd);
}

/** A server that has flushed a page, and has found another one in its place. */
async function knowing(t: Test, more: readonly string[] = []) {
  const server = await startServer(t, { ...STRICT, set: [...STRICT.set, ...more] });
  const client = await server.connect();
  const page = Buffer.from(makePage('random', 1));
  await client.write(SLOT * PAGE, page);
  await client.flush();
  spoil(server);
  t.equal(await errorOf(client.read(SLOT * PAGE, PAGE)), 'EIO');
  return { server, client, page };
}

const durability = (server: RunningServer): string =>
  JSON.parse(readFileSync(`${server.image}.zswapd`, 'utf8')).durability;

for (const end of ['FLUSH', 'FUA'] as const) {
  t.test(`a ${end} after that is answered when nobody vouches any more`, async (t) => {
    const { server, client, page } = await knowing(t);
    const fua = () => client.write(0, page, { fua: true });
    t.equal(await errorOf(end === 'FLUSH' ? client.flush() : fua()), 'none');
    t.equal(durability(server), 'volatile');
    await server.kill9();
    t.match(await failedStart(t, { ...STRICT, folder: server.folder }), { code: 3 });
  });
}

t.test('nor does the marker that a stop leaves', async (t) => {
  const { server, client } = await knowing(t);
  await client.disconnect();
  t.match(await server.stop(), { code: 4, stderr: /1 page of swap0 was lost/ });
  t.match(await failedStart(t, { ...STRICT, folder: server.folder }), { code: 3 });
});

t.test('written and flushed again, it is vouched for as before', async (t) => {
  const { server, client } = await knowing(t);
  await client.flush();
  const again = Buffer.from(makePage('random', 2));
  await client.write(SLOT * PAGE, again);
  t.equal(durability(server), 'volatile', 'not before it was flushed');
  await client.flush();
  t.equal(durability(server), 'strict');
  await server.kill9();
  const next = await startServer(t, { ...STRICT, folder: server.folder });
  const reader = await next.connect();
  t.ok((await reader.read(SLOT * PAGE, PAGE)).equals(again));
  await reader.disconnect();
  t.equal((await next.stop()).code, 0);
  t.notOk(isMarked(server.image));
});

t.test('an image that was stale before is vouched for by nobody, whatever is written again', async (t) => {
  const first = await startServer(t, { size: '8MiB' });
  await first.kill9();
  const set = [...STRICT.set, 'exports[0].onUnclean=serve'];
  const server = await startServer(t, { size: '8MiB', set, folder: first.folder });
  const client = await server.connect();
  await writeSlots(client, 0, 8);
  await client.flush();
  t.equal(durability(server), 'volatile');
});

t.test('a sync that fails', { skip }, async (t) => {
  // The page cache takes what the disk has no room for.
  const file = join(mount(t, 'tmpfs', 'none', 'size=1m'), 'disk');
  writeFileSync(file, '');
  truncateSync(file, 8 * MIB);
  const set = [...STRICT.set, 'image.direct=off'];
  const server = await startServer(t, { size: '8MiB', image: loopOver(t, file), set });
  const client = await server.connect();
  await client.flush();
  await writeSlots(client, 0, 1024, { texture: 'noise' });
  t.equal(await errorOf(client.flush()), 'EIO');
  await server.kill9();
  const { code, stderr } = await failedStart(t, { size: '8MiB', image: server.image, folder: server.folder, set });
  t.match([code, stderr], [3, 'stale, because its last server']);
});
