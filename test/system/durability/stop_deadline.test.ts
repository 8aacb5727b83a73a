// A stop does not wait for ever for a client that is still sending: after stop.deadline its connection is cut, and what had
// arrived is drained.
import * as wire from 'node-nbd-server';
import t from 'tap';
import { pageOf } from '../../support/random.ts';
import { rawClient } from '../../support/raw_client.ts';
import { startServer } from '../../support/zswapd.ts';
import { isMarked, PAGE, readImage } from './images.ts';

for (const lanes of [2, 0]) {
  t.test(`a WRITE of 32 MiB that comes byte by byte, lanes=${lanes}`, async (t) => {
    const server = await startServer(t, { size: '64MiB', set: ['stop.deadline=300ms', `lanes=${lanes}`] });
    const slow = await rawClient(t, server.socketPath, 'swap0');
    slow.request(wire.NBD_CMD_WRITE, 0, 1, 0, 32 * 2 ** 20, Buffer.concat([pageOf(0, 1), pageOf(1, 1)]));
    while ((await server.stats()).pool.stored_pages < 2);
    const trickle = setInterval(() => slow.socket.write(Buffer.of(1)), 20);
    t.teardown(() => clearInterval(trickle));
    const { code, stderr } = await server.stop();
    t.equal(code, 0);
    t.match(stderr, /"connections":1,.*stop.deadline: connections that have not ended in 300 ms are cut/);
    t.notOk(isMarked(server.image));
    const image = readImage(server.image);
    for (const slot of [0, 1]) {
      const page = image.subarray(slot * PAGE, (slot + 1) * PAGE);
      t.ok(page.equals(pageOf(slot, 1)), `page ${slot}, which had arrived whole, is on the image`);
    }
  });
}

t.test('a client that owes bytes has all of stop.deadline for them', async (t) => {
  const server = await startServer(t, { size: '8MiB', set: ['stop.deadline=10m'] });
  const slow = await rawClient(t, server.socketPath, 'swap0');
  slow.request(wire.NBD_CMD_WRITE, 0, 1, 0, 2 * PAGE, pageOf(0, 1));
  while ((await server.stats()).pool.stored_pages < 1);
  server.child.kill('SIGTERM');
  // One line a second; a connection that is not told of a deadline waits 10 s by itself.
  const waits = (): number => server.stderr().split('waiting for connections').length - 1;
  await server.until(() => (waits() < 11 ? undefined : true));
  slow.socket.write(pageOf(1, 1));
  t.equal((await slow.take(wire.NBD_SIMPLE_REPLY_BYTES)).readUInt32BE(4), 0);
  const { code, stderr } = await server.ended;
  t.equal(code, 0);
  t.notMatch(stderr, 'are cut');
  const image = readImage(server.image);
  for (const slot of [0, 1]) t.ok(image.subarray(slot * PAGE, (slot + 1) * PAGE).equals(pageOf(slot, 1)));
});
