// Pages that exist nowhere any more: the server says how many, reads them as EIO, and never calls the image complete.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { fuseImage } from '../../support/fuse_image.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { errorOf, isMarked, MIB, PAGE, writeSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');

t.test('a stop with lost pages keeps the marker and says how many', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: 8 * MIB });
  const server = await startServer(t, { size: '8MiB', image: disk.path });
  const client = await server.connect();
  // The pool does not take these: the image has the only copy of each, and a write that fails may have torn it.
  await writeSlots(client, 3, 6, { texture: 'noise' });
  disk.fail('pwrite');
  for (const slot of [3, 5]) {
    t.equal(await errorOf(writeSlots(client, slot, slot + 1, { texture: 'noise', version: 1 })), 'EIO');
  }
  disk.heal('pwrite');
  t.equal(await errorOf(client.read(3 * PAGE, PAGE)), 'EIO');
  t.equal(await errorOf(client.read(4 * PAGE, PAGE)), 'none');
  const stats = await server.stats();
  t.equal(stats.exports[0].lost_pages, 2);
  t.equal(stats.pool.lost_pages, 2);
  await t.rejects(fetchControl(server.controlPath, '/swapoff?export=swap0&force&keep', 'POST'), {
    message: /is off, and its image has the rest, but 2 pages of it are lost and read as EIO/,
  });
  await fetchControl(server.controlPath, '/swapon?export=swap0', 'POST');
  await writeSlots(client, 5, 6, { version: 2 });
  t.equal(await errorOf(client.read(5 * PAGE, PAGE)), 'none', 'until it is written again');
  await client.disconnect();
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /"pages":1,.*1 page of swap0 was lost: its marker stays/);
  t.ok(isMarked(server.image), 'the marker stays');
  const again = await failedStart(t, { size: '8MiB', image: disk.path, folder: server.folder });
  t.equal(again.code, 3, 'the next start is refused');
});
