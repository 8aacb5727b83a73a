// Stops whose image others have changed: the line says what else is gone than the pages that could not be written.
import { rmSync, truncateSync } from 'node:fs';
import t from 'tap';
import { startServer } from '../../support/zswapd.ts';
import { markerOf, writeSlots } from './images.ts';

t.setTimeout(120_000);

t.test('an image that was cut: pages that were only there are gone as well', async (t) => {
  const server = await startServer(t, { size: '16MiB' });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  await writeSlots(client, 100, 120, { texture: 'noise' });
  await client.disconnect();
  truncateSync(server.image, 0);
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /its marker stays, 64 pages are lost; what the image had is not to be relied on: .* size changed/);
});

t.test('an image and a marker that were deleted: nobody is told that a marker stays', async (t) => {
  const server = await startServer(t, { size: '16MiB' });
  rmSync(server.image);
  rmSync(markerOf(server.image));
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /drain of swap0 failed: its marker is gone too: .*was moved, deleted or replaced/);
});
