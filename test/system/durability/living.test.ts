// A server that has an image by a path whose locks are out of sight from here: its marker is there, and its process.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { runAt } from '../../support/run_process.ts';
import { tempFolder } from '../../support/tmp.ts';
import { MAIN } from '../../support/zswapd.ts';
import { markerOf, writeSlots, wrongSlots } from './images.ts';

t.test('an image whose marker is that of a server that runs is neither served nor reset', async (t) => {
  const server = await startServer(t, { size: '8MiB' });
  const client = await server.connect();
  await writeSlots(client, 0, 16);
  // As the upper file of an overlay, or in a container: the same bytes, another file to the kernel.
  const image = join(tempFolder(t), 'upper');
  writeFileSync(image, Buffer.alloc(2 ** 23, 1));
  // And the clock was put forward by an hour after that start.
  const marker = JSON.parse(readFileSync(markerOf(server.image), 'utf8'));
  const started = new Date(Date.parse(marker.started) - 3_600_000).toISOString();
  writeFileSync(markerOf(image), JSON.stringify({ ...marker, started }));
  const stderr = `is in use by the server with pid ${server.pid}, under another path or in another mount namespace`;
  const exports = [{ name: 'a', size: '8MiB', image, onUnclean: 'reset' }];
  t.match(await failedStart(t, { exports }), { code: 2, stderr });
  const reset = () => runAt('.', process.execPath, [MAIN, 'image', 'reset', image], { STATE_DIRECTORY: tempFolder(t) });
  t.match(await reset(), { code: 2, stderr });
  t.same(await wrongSlots(client, 0, 16), []);
  await client.disconnect();
  await server.kill9();
  t.match(await failedStart(t, { size: '8MiB', image }), { code: 3, stderr: 'is not the image that its last server' });
  t.match(await reset(), { code: 0 });
});

t.test('the first process of a container is not the one before it', { skip: missing('unshare', 'root') }, async (t) => {
  const wrap = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child=KILL'];
  const image = join(tempFolder(t), 'image');
  const o = { size: '8MiB', image, wrap, set: ['durability=strict'] };
  const server = await startServer(t, o);
  const { pid, ticks } = JSON.parse(readFileSync(markerOf(image), 'utf8'));
  t.match({ pid, ticks }, { pid: 1, ticks: Number });
  await server.kill9();
  const again = await startServer(t, o);
  // As an earlier version would have left it.
  const { ticks: _, ...earlier } = JSON.parse(readFileSync(markerOf(image), 'utf8'));
  await again.kill9();
  writeFileSync(markerOf(image), JSON.stringify(earlier));
  await startServer(t, o);
});
