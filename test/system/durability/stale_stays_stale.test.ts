// A stale image that is served all the same stays stale, whoever serves it, and a start that fails changes nothing of that.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { failedStart, startServer } from '../../support/one_thread.ts';
import type { RunningServer } from '../../support/zswapd.ts';
import { isMarked, markerOf, writeSlots, wrongSlots } from './images.ts';

const SIZE = '8MiB';

/** A volatile server that was killed with data in its pool. */
async function killed(t: Test): Promise<{ server: RunningServer }> {
  const server = await startServer(t, { size: SIZE });
  await writeSlots(await server.connect(), 0, 512);
  await server.kill9();
  t.ok(isMarked(server.image));
  return { server };
}

t.test('a strict server on the old bytes does not make them good: killed, it leaves the image stale', async (t) => {
  const { server } = await killed(t);
  const set = ['exports[0].onUnclean=serve', 'durability=strict'];
  const strict = await startServer(t, { size: SIZE, folder: server.folder, set });
  const client = await strict.connect();
  await writeSlots(client, 0, 16, { version: 2 });
  await client.flush();
  t.match(await strict.kill9(), { signal: 'SIGKILL' });
  const plain = await failedStart(t, { size: SIZE, folder: server.folder, set: ['durability=strict'] });
  t.match(plain, { code: 3, stderr: `pid ${strict.pid}` });
  const again = await startServer(t, { size: SIZE, folder: server.folder, set });
  t.not((await again.logged('old bytes are served, and stay stale until a clean stop')).length, 0);
  t.equal((await again.stop()).code, 0);
  const clean = await startServer(t, { size: SIZE, folder: server.folder });
  t.same(await wrongSlots(await clean.connect(), 0, 16, { version: 2 }), []);
});

t.test('a start that fails after the markers were written leaves the image as stale as it was', async (t) => {
  const { server } = await killed(t);
  const marker = readFileSync(markerOf(server.image), 'utf8');
  const b = join(server.folder, 'b.img');
  mkdirSync(`${markerOf(b)}.tmp`);
  const exports = [
    { name: 'swap0', size: SIZE, image: server.image, onUnclean: 'serve' },
    { name: 'b', size: SIZE, image: b },
  ];
  const failed = await failedStart(t, { folder: server.folder, exports, set: ['durability=strict'] });
  t.match(failed, { code: 2, stderr: /exports\[1\]\.image: .*can't write the marker/ });
  t.equal(readFileSync(markerOf(server.image), 'utf8'), marker);
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder })).code, 3);
});
