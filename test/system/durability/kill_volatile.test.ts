// A killed volatile server: its image is stale, and is served again only when somebody says so by name.
import t, { type Test } from 'tap';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { run } from '../../support/run_process.ts';
import { MAIN, type RunningServer } from '../../support/zswapd.ts';
import { firstDifference, isMarked, MIB, readDevice, readImage, writeSlots, wrongSlots } from './images.ts';

const SIZE = '8MiB';
const ZEROS = Buffer.alloc(8 * MIB);

/** A server that was killed with data in its pool and other data, `old`, in its image. */
async function killed(t: Test): Promise<{ server: RunningServer; old: Buffer }> {
  const first = await startServer(t, { size: SIZE });
  const client = await first.connect();
  await writeSlots(client, 0, 512);
  await client.disconnect();
  t.equal((await first.stop()).code, 0);
  const old = readImage(first.image);
  const server = await startServer(t, { size: SIZE, folder: first.folder });
  const writer = await server.connect();
  await writeSlots(writer, 256, 768, { version: 1 });
  t.match(await server.kill9(), { code: null, signal: 'SIGKILL' });
  t.ok(isMarked(server.image), 'the marker stays');
  return { server, old };
}

t.test('the start is refused with both ways out as command lines', async (t) => {
  const { server } = await killed(t);
  const before = readImage(server.image);
  const { code, stdout, stderr } = await failedStart(t, { size: SIZE, folder: server.folder });
  t.equal(code, 3);
  t.equal(stdout, '');
  t.match(stderr, /^[^\n]+\n$/, 'one line');
  t.match(stderr, `image reset ${server.image}\``);
  t.match(stderr, "`--set 'exports[0].onUnclean=reset'`");
  t.match(stderr, "`--set 'exports[0].onUnclean=serve'`");
  t.match(stderr, `pid ${server.pid}`);
  t.equal(firstDifference(readImage(server.image), before), -1, 'the image is untouched');
  t.ok(isMarked(server.image), 'and still stale');
});

t.test('after `zswapd image reset PATH` the device reads zeros', async (t) => {
  const { server } = await killed(t);
  t.match(await run(MAIN, ['image', 'reset', server.image]), { code: 0, stdout: '', stderr: /discarded/ });
  t.notOk(isMarked(server.image));
  const again = await startServer(t, { size: SIZE, folder: server.folder });
  const client = await again.connect();
  t.equal(firstDifference(await readDevice(client), ZEROS), -1);
  await writeSlots(client, 0, 16, { version: 2 });
  t.same(await wrongSlots(client, 0, 16, { version: 2 }), []);
  await client.disconnect();
  t.equal((await again.stop()).code, 0);
});

t.test('an image in use is not reset', async (t) => {
  const server = await startServer(t, { size: SIZE });
  const { code, stderr } = await run(MAIN, ['image', 'reset', server.image]);
  t.equal(code, 2);
  t.match(stderr, /^[^\n]* is in use [^\n]*\n$/);
  t.ok(isMarked(server.image));
});

t.test('onUnclean=reset discards and says so', async (t) => {
  const { server } = await killed(t);
  const set = ['exports[0].onUnclean=reset'];
  const again = await startServer(t, { size: SIZE, folder: server.folder, set });
  const client = await again.connect();
  t.equal(firstDifference(await readDevice(client), ZEROS), -1);
  await client.disconnect();
  const { code, stderr } = await again.stop();
  t.equal(code, 0);
  t.match(stderr, 'its content is discarded');
  t.notOk(isMarked(server.image), 'the next start is a clean one');
});

t.test('onUnclean=serve serves the old bytes and says so', async (t) => {
  const { server, old } = await killed(t);
  const set = ['exports[0].onUnclean=serve'];
  const again = await startServer(t, { size: SIZE, folder: server.folder, set });
  const client = await again.connect();
  // Nothing was written back, because the pool had room, so the old image is what there is.
  t.equal(firstDifference(await readDevice(client), old), -1);
  await client.disconnect();
  const { code, stderr } = await again.stop();
  t.equal(code, 0);
  t.match(stderr, 'old bytes are served');
});

t.test('a server killed again while it serves a stale image leaves it stale', async (t) => {
  const { server } = await killed(t);
  const set = ['exports[0].onUnclean=serve'];
  const again = await startServer(t, { size: SIZE, folder: server.folder, set });
  await again.kill9();
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder })).code, 3);
});
