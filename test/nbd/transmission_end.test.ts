/** The end of a connection: nothing of it lands after its peer is gone, except what a DISC has promised. */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';

const { NBD_CMD_WRITE: WRITE, NBD_CMD_DISC: DISC, NBD_CMD_TRIM: TRIM } = wire;
const block = (fill: number, blocks = 1): Buffer => Buffer.alloc(blocks * BLOCK, fill);
const write = (cookie: number, n: number, data: Buffer): Buffer =>
  Buffer.concat([rawRequest(WRITE, 0, cookie, n * BLOCK, data.length), data]);

t.test('a waiting unit and all behind it are dropped with their connection', async (t) => {
  const device = new RamDevice();
  const { socketPath, connect, ended, counters } = await serve(t, device);
  const old = await rawClient(t, socketPath, 'ram');
  device.writes = 'wait';
  old.socket.write(Buffer.concat([write(1, 0, block(1, 4)), write(2, 8, block(1))]));
  await until(() => device.waiters === 1);
  old.socket.destroy();
  await ended(1);
  t.equal(device.cancelled, 1);
  t.ok(counters.fencedUnits >= 5);
  device.release();
  const client = await connect();
  await client.write(0, block(2));
  t.ok((await client.read(0, BLOCK)).equals(block(2)));
  t.ok((await client.read(8 * BLOCK, BLOCK)).equals(block(0)));
});

t.test('an old WRITE still unread in the kernel never lands', async (t) => {
  const device = new RamDevice({ size: 64 * 1024 * 1024 });
  const { socketPath, connect, ended } = await serve(t, device);
  const old = await rawClient(t, socketPath, 'ram');
  device.writes = 'wait';
  // More than the server buffers: it stops reading, so the end of the connection is not what it reads next.
  const many = Buffer.concat([write(1, 0, block(1, 62)), write(2, 100, block(1, 32))]);
  old.socket.write(many);
  await until(() => device.waiters === 1 && old.socket.writableLength === 0);
  old.socket.destroy();
  await once(old.socket);
  const client = await connect();
  device.writes = 'now';
  await client.write(100 * BLOCK, block(2, 32));
  device.release();
  await ended(1);
  t.ok((await client.read(100 * BLOCK, 32 * BLOCK)).equals(block(2, 32)), 'the newer write stands');
  t.ok((await client.read(0, 62 * BLOCK)).equals(block(0, 62)));
});

const once = (socket: { closed: boolean }): Promise<void> => until(() => socket.closed);

t.test('16 WRITEs, DISC and close all land, also from behind a waiting unit', async (t) => {
  for (const blocks of [1, 5]) {
    const device = new RamDevice();
    const { socketPath, ended } = await serve(t, device);
    const client = await rawClient(t, socketPath, 'ram');
    device.writes = 'wait';
    const writes = Array.from({ length: 16 }, (_, i) => write(i, i * blocks, block(i + 1, blocks)));
    client.socket.write(Buffer.concat([...writes, rawRequest(DISC, 0, 99, 0, 0)]));
    await until(() => device.waiters === 1);
    await until(() => client.socket.writableLength === 0);
    client.socket.destroy();
    await once(client.socket);
    device.release();
    await ended(1);
    for (let i = 0; i < 16; i++) {
      const at = i * blocks * BLOCK;
      t.ok(device.bytes.subarray(at, at + blocks * BLOCK).equals(block(i + 1, blocks)), `write ${i}`);
    }
  }
});

t.test('a reply that cannot be sent does not lose the WRITEs that a DISC follows', async (t) => {
  const device = new RamDevice();
  // One that was asked a moment too early.
  const blind = (real: wire.ConnectionFence): wire.ConnectionFence => ({ ...real, peerClosed: () => false });
  const { socketPath, ended } = await serve(t, device, { fence: blind });
  const client = await rawClient(t, socketPath, 'ram');
  device.writes = 'wait';
  const writes = Array.from({ length: 16 }, (_, i) => write(i, i * 5, block(i + 1, 5)));
  client.socket.write(Buffer.concat([...writes, rawRequest(DISC, 0, 99, 0, 0)]));
  await until(() => device.waiters === 1 && client.socket.writableLength === 0);
  client.socket.destroy();
  await once(client.socket);
  device.release();
  await ended(1);
  for (let i = 0; i < 16; i++) {
    t.ok(device.bytes.subarray(i * 5 * BLOCK, (i + 1) * 5 * BLOCK).equals(block(i + 1, 5)), `write ${i}`);
  }
});

t.test('WRITEs and DISC of a client that closes at once, without waiting for a reply', async (t) => {
  const device = new RamDevice({ size: 64 * 1024 * 1024 });
  const { socketPath, ended } = await serve(t, device);
  for (let round = 1; round <= 20; round++) {
    const client = await rawClient(t, socketPath, 'ram');
    const writes = Array.from({ length: 16 }, (_, i) => write(i, i * 32, block(round, 32)));
    client.socket.write(Buffer.concat([...writes, rawRequest(DISC, 0, 99, 0, 0)]), () => client.socket.destroy());
    await ended(round);
    const whole = device.bytes.subarray(0, 16 * 32 * BLOCK);
    t.equal(
      whole.findIndex((byte) => byte !== round),
      -1,
    );
  }
});

t.test('taken units of a dead connection are told so', async (t) => {
  const device = new RamDevice();
  const { socketPath, connect, ended } = await serve(t, device);
  const old = await rawClient(t, socketPath, 'ram');
  device.writes = 'taken';
  device.others = 'held';
  old.socket.write(Buffer.concat([write(1, 0, block(1)), rawRequest(TRIM, 0, 2, 8 * BLOCK, 4 * BLOCK)]));
  await until(() => device.held === 2);
  old.socket.destroy();
  await once(old.socket);
  device.writes = 'now';
  const client = await connect();
  await client.write(0, block(2));
  await client.write(8 * BLOCK, block(2));
  device.release();
  await ended(1);
  t.equal(device.dropped, 2);
  t.ok((await client.read(0, BLOCK)).equals(block(2)));
  t.ok((await client.read(8 * BLOCK, BLOCK)).equals(block(2)));
});

t.test('a taken unit of a WRITE still arriving asks whether the peer is gone', async (t) => {
  const device = new RamDevice();
  const { socketPath, ended } = await serve(t, device);
  const old = await rawClient(t, socketPath, 'ram');
  device.writes = 'taken';
  old.socket.write(write(1, 0, block(1, 3)).subarray(0, 28 + 2 * BLOCK));
  await until(() => device.taken === 2);
  // Closes the descriptor at once, and no turn passes in which the server could read the end.
  old.socket.destroy();
  device.release();
  t.equal(device.dropped, 2);
  t.equal(device.written[0], 0);
  await ended(1);
});

t.test('a client that dies in the middle of a payload', async (t) => {
  const device = new RamDevice();
  const { socketPath, connect, ended } = await serve(t, device);
  const client = await rawClient(t, socketPath, 'ram');
  client.socket.write(write(1, 0, block(1, 2)).subarray(0, 28 + BLOCK + 100));
  await until(() => device.written[0] === 1);
  client.socket.destroy();
  await ended(1);
  t.equal(device.written[1], 0, 'a block without all its bytes is not written');
  t.equal((await (await connect()).read(0, BLOCK)).length, BLOCK);
});

t.test('the handshake has a deadline', async (t) => {
  const { createConnection } = await import('node:net');
  const { socketPath, ended } = await serve(t, new RamDevice(), { handshakeTimeoutMs: 50 });
  const silent = createConnection({ path: socketPath });
  t.teardown(() => silent.destroy());
  await ended(1);
});
