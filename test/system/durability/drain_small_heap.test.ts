// A clean stop needs no memory per page: with a heap that is small against what is stored, everything is drained all the same.
import { statSync } from 'node:fs';
import t from 'tap';
import { startServer } from '../../support/zswapd.ts';
import { isMarked, MIB } from './images.ts';

const BYTES = 512 * MIB;
const CHUNK = 8 * MIB;

t.test('131,072 pages are drained with a heap of 24 MiB', async (t) => {
  const server = await startServer(t, { size: '512MiB', env: { NODE_OPTIONS: '--max-old-space-size=24' } });
  const client = await server.connect();
  // Pages of one repeated word: quickly written, and drained like any other.
  const chunk = Buffer.alloc(CHUNK, 0x41);
  for (let at = 0; at < BYTES; at += CHUNK) await client.write(at, chunk);
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
  t.notOk(isMarked(server.image));
  t.ok(statSync(server.image).blocks * 512 >= BYTES, 'the image has all of it');
});
