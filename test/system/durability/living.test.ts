// A server that has an image by a path whose locks are out of sight from here: its marker is there, and its process.
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { failedStart, startServer } from '../../support/one_thread.ts';
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
  copyFileSync(markerOf(server.image), markerOf(image));
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
