/**
 * A stop lets what runs finish, but no client can hold it up for longer than its deadline. `destroy` ends a connection in
 * whatever state it is: what was published stays, everything else is dropped, and its end is told exactly once.
 *
 * Seen to fail with progress buying more time (the drip), and with Connection.cut() not reporting (the promise).
 */
import { createConnection } from 'node:net';
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';

const { NBD_CMD_WRITE: WRITE, NBD_CMD_READ: READ, NBD_CMD_TRIM: TRIM, NBD_CMD_DISC: DISC } = wire;
const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};
const write = (cookie: number, n: number, blocks: number): Buffer =>
  Buffer.concat([rawRequest(WRITE, 0, cookie, n * BLOCK, blocks * BLOCK), Buffer.alloc(blocks * BLOCK, 7)]);

t.test('a client that drips a large WRITE does not hold up a stop', async (t) => {
  const device = new RamDevice();
  const { socketPath, connections, ended } = await serve(t, device, { stopTimeoutMs: 200 });
  const client = await rawClient(t, socketPath, 'ram');
  client.socket.write(rawRequest(WRITE, 0, 1, 0, 1 << 20));
  client.socket.write(Buffer.alloc(2 * BLOCK, 7));
  await until(() => device.written[1] === 1);
  const drip = setInterval(() => client.socket.write(Buffer.of(7)), 10);
  t.teardown(() => clearInterval(drip));
  connections[0].stop();
  // Being told again gives it no new deadline.
  const again = setInterval(() => connections[0].stop(), 50);
  t.teardown(() => clearInterval(again));
  await ended(1);
  t.same([...device.written.subarray(0, 3)], [1, 1, 0], 'whole blocks are kept');
});

t.test('a client that takes no reply does not hold up a stop', async (t) => {
  const device = new RamDevice();
  device.written.fill(1);
  const { socketPath, connections, ended, counters } = await serve(t, device, { stopTimeoutMs: 100 });
  const client = await rawClient(t, socketPath, 'ram');
  client.request(READ, 0, 1, 0, 8 << 20);
  await until(() => counters.bytesOut > 1 << 20);
  connections[0].stop();
  await ended(1);
});

t.test('a stop waits for the device, however long that takes', async (t) => {
  const device = new RamDevice();
  const served = await serve(t, device, { stopTimeoutMs: 1 });
  const client = await served.connect();
  device.writes = 'taken';
  const taken = client.write(0, Buffer.alloc(BLOCK, 1));
  await until(() => device.taken === 1);
  served.connections[0].stop();
  // Longer than its timers.
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.equal(served.ends, 0);
  device.release();
  await taken;
  await served.ended(1);
  t.equal(device.written[0], 1);
});

t.test('destroyed in the handshake', async (t) => {
  const served = await serve(t, new RamDevice());
  const socket = createConnection({ path: served.socketPath });
  t.teardown(() => socket.destroy());
  await until(() => served.connections.length === 1);
  served.connections[0].destroy();
  await served.ended(1);
  t.equal(served.ends, 1);
});

t.test('destroyed while a WRITE arrives', async (t) => {
  const device = new RamDevice();
  const served = await serve(t, device);
  const client = await rawClient(t, served.socketPath, 'ram');
  client.socket.write(write(1, 0, 4).subarray(0, 28 + 2 * BLOCK + 5));
  await until(() => device.written[1] === 1);
  served.connections[0].destroy();
  await served.ended(1);
  t.same([...device.written.subarray(0, 4)], [1, 1, 0, 0]);
});

t.test('destroyed while a block waits', async (t) => {
  const device = new RamDevice();
  const served = await serve(t, device);
  const client = await rawClient(t, served.socketPath, 'ram');
  device.writes = 'wait';
  client.socket.write(Buffer.concat([write(1, 0, 2), write(2, 8, 1)]));
  await until(() => device.waiters === 1);
  served.connections[0].destroy();
  await served.ended(1);
  t.equal(device.cancelled, 1, 'the device may give back what it holds');
  device.release();
  await turns(5);
  t.same([device.written[0], device.written[8], served.ends], [0, 0, 1]);
});

t.test('destroyed while the device has blocks, a trim and a read', async (t) => {
  const device = new RamDevice();
  const served = await serve(t, device);
  const client = await rawClient(t, served.socketPath, 'ram');
  client.socket.write(write(1, 8, 2));
  await client.take(16);
  device.writes = 'taken';
  device.others = 'held';
  const more = [rawRequest(TRIM, 0, 3, 8 * BLOCK, BLOCK), rawRequest(READ, 0, 4, 9 * BLOCK, BLOCK)];
  client.socket.write(Buffer.concat([write(2, 0, 3), ...more]));
  await until(() => device.held === 5);
  served.connections[0].destroy();
  served.connections[0].destroy();
  await turns(20);
  t.equal(served.ends, 0, 'what the device has must settle first');
  device.release();
  await served.ended(1);
  t.same([...device.written.subarray(0, 3)], [0, 0, 0], 'blocks that were not published are dropped');
  t.equal(device.written[8], 1, 'what was published stays');
  t.equal(served.ends, 1);
});

t.test('destroyed when it has done all and waits for its client to take the replies', async (t) => {
  const device = new RamDevice();
  device.written.fill(1);
  const served = await serve(t, device);
  const client = await rawClient(t, served.socketPath, 'ram');
  client.socket.write(Buffer.concat([rawRequest(READ, 0, 1, 0, 1 << 20), rawRequest(DISC, 0, 2, 0, 0)]));
  await until(() => served.counters.bytesOut >= 1 << 20);
  await turns(5);
  t.equal(served.ends, 0);
  served.connections[0].destroy();
  await served.ended(1);
  t.equal(served.ends, 1);
});

t.test('destroyed when its client has gone, with a promise that is not yet kept', async (t) => {
  const device = new RamDevice();
  const served = await serve(t, device);
  const client = await rawClient(t, served.socketPath, 'ram');
  device.writes = 'wait';
  device.others = 'held';
  const all = [rawRequest(READ, 0, 1, 0, BLOCK), write(2, 0, 2), rawRequest(DISC, 0, 3, 0, 0)];
  client.socket.write(Buffer.concat(all));
  await until(() => device.waiters === 1 && device.held === 1);
  client.socket.destroy();
  // The reply finds nobody, so the socket is closed, and the WRITE waits on.
  device.release(true);
  await turns(50);
  t.equal(device.waiters, 1);
  t.equal(served.ends, 0);
  served.connections[0].destroy();
  await served.ended(1);
  t.same([device.written[0], device.cancelled, served.ends], [0, 1, 1]);
});
