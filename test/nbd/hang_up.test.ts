// A server that somebody starts again hangs up at its stop: what it has begun is answered, what it has not is sent to the
// next one, and no client hears an error that its kernel would take for a broken disk.
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';

const { NBD_CMD_WRITE: WRITE } = wire;
const REPLY_BYTES = 16;
const write = (cookie: number, n: number): Buffer =>
  Buffer.concat([rawRequest(WRITE, 0, cookie, n * BLOCK, BLOCK), Buffer.alloc(BLOCK, 7)]);

for (const hangsUp of [true, false]) {
  t.test(`a stop with a request begun and one that is not, ${hangsUp ? 'hanging up' : 'else'}`, async (t) => {
    const device = new RamDevice();
    const served = await serve(t, device, { hangsUp });
    const client = await rawClient(t, served.socketPath, 'ram');
    device.writes = 'taken';
    client.socket.write(write(1, 0));
    await until(() => device.taken === 1);
    served.connections[0].stop();
    client.socket.write(write(2, 1));
    await until(() => served.counters.bytesIn > 2 * BLOCK);
    device.release();
    const [first, second] = [await client.take(REPLY_BYTES), client.take(REPLY_BYTES).catch(() => null)];
    t.equal(first.readUInt32BE(12), hangsUp ? 1 : 2, 'who was begun is answered');
    const other = await second;
    if (hangsUp) t.equal(other, null, 'the other hears nothing but the end');
    else t.equal(other?.readUInt32BE(12), 1);
    t.equal(device.written[1], 0);
    client.socket.end();
    await served.ended(1);
  });
}

t.test('a WRITE that is arriving is begun: its rest is taken, and it is answered', async (t) => {
  const device = new RamDevice();
  const served = await serve(t, device, { hangsUp: true });
  const client = await rawClient(t, served.socketPath, 'ram');
  const bytes = write(1, 0);
  client.socket.write(bytes.subarray(0, 100));
  await until(() => served.counters.writes === 1);
  served.connections[0].stop();
  client.socket.write(bytes.subarray(100));
  t.equal((await client.take(REPLY_BYTES)).readUInt32BE(4), 0);
  t.equal(device.written[0], 1);
  client.socket.end();
  await served.ended(1);
});

t.test('a device that writes through has every change durable before its answer', async (t) => {
  const device = Object.assign(new RamDevice(), { writeThrough: true });
  const served = await serve(t, device);
  const client = await served.connect();
  await client.write(0, Buffer.alloc(2 * BLOCK, 1));
  await client.trim(4 * BLOCK, BLOCK);
  await client.writeZeroes(8 * BLOCK, BLOCK);
  await client.read(0, BLOCK);
  t.same(device.persisted, [
    [0, 2 * BLOCK],
    [4 * BLOCK, BLOCK],
    [8 * BLOCK, BLOCK],
  ]);
  await client.disconnect();
});

t.test(
  'a handshake that has begun comes to its end, so that its client connects again and does not give up',
  async (t) => {
    const served = await serve(t, new RamDevice(), { hangsUp: true });
    const client = served.connect();
    await until(() => served.connections.length === 1);
    served.connections[0].stop();
    const connected = await client;
    await t.rejects(connected.read(0, BLOCK), 'by then it has hung up');
    await served.ended(1);
  },
);
