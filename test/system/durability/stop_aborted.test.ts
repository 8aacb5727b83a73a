// A stop that can't be finished: a second signal, a second later, ends it with exit code 4, and the marker stays.
import t from 'tap';
import { fuseImage } from '../../support/fuse_image.ts';
import { missing } from '../../support/requires.ts';
import { failedStart, type RunningServer, startServer } from '../../support/zswapd.ts';
import { isMarked, MIB, writeSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const PAGES = 300;
/** Of the log line that is written once a further signal aborts. */
const ARMED = 'a further SIGTERM or SIGINT aborts the drain';

async function logged(server: RunningServer, text: string): Promise<void> {
  while (!server.stderr().includes(text)) await new Promise((done) => server.child.stderr!.once('data', done));
}

/** `pages` of the line that states the loss. */
function lostPages(stderr: string): number {
  const line = stderr.split('\n').find((one) => one.includes('aborted by a second signal'));
  return line === undefined ? -1 : JSON.parse(line).pages;
}

for (const [first, second] of [
  ['SIGTERM', 'SIGTERM'],
  ['SIGHUP', 'SIGINT'],
] as const) {
  t.test(`${second} in a drain that ${first} began`, { skip }, async (t) => {
    const disk = await fuseImage(t, { bytes: 8 * MIB });
    const set = ['memcgs.swap0.zswap.max=64KiB'];
    const server = await startServer(t, { size: '8MiB', image: disk.path, set });
    const client = await server.connect();
    // From here on the disk takes nothing. Most pages leave the pool for it all the same, because the memcg is at its limit.
    await disk.pause();
    for (let slot = 0; slot < PAGES; slot++) await writeSlots(client, slot, slot + 1);
    await client.disconnect();
    const { pool } = await server.stats();
    t.ok(pool.stored_pages > 0, `${pool.stored_pages} pages are in the pool`);
    t.equal(pool.stored_pages + pool.written_back_pages, PAGES, `${pool.written_back_pages} have left it`);
    t.ok(pool.written_back_pages > 0);
    server.child.kill(first);
    await logged(server, ARMED);
    // A terminal that goes is no word to give up.
    server.child.kill('SIGHUP');
    await logged(server, 'SIGHUP as well: part of the same stop');
    server.child.kill(second);
    await logged(server, 'aborted by a second signal');
    // A process ends when its last system call does, and this one is with the disk.
    await disk.resume();
    const { code, stderr } = await server.ended;
    t.equal(code, 4);
    t.ok(isMarked(server.image), 'the marker stays');
    t.equal(lostPages(stderr), PAGES, 'the loss is stated');
    const again = await failedStart(t, { size: '8MiB', image: disk.path, folder: server.folder });
    t.equal(again.code, 3, 'the next start is refused');
  });
}

t.test('a second signal while a request hangs on the image', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: 8 * MIB });
  const server = await startServer(t, { size: '8MiB', image: disk.path });
  const client = await server.connect();
  await disk.pause();
  // Incompressible, so it goes to the image, which hangs.
  const hanging = writeSlots(client, 0, 1, { texture: 'noise' });
  hanging.catch(() => undefined);
  while ((await server.stats()).pool.image_runs < 1);
  server.child.kill('SIGTERM');
  await logged(server, ARMED);
  server.child.kill('SIGTERM');
  await logged(server, 'aborted by a second signal');
  // A process ends when its last system call does, and this one is with the disk.
  await disk.resume();
  t.equal((await server.ended).code, 4);
  t.ok(isMarked(server.image));
  client.destroy();
});
