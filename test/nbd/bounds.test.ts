/**
 * The bounds of one connection that its README states, each met by a client that asks for more. Others are in files of their
 * own: turn_budget, taken_bound, fence_catch_up, stop_deadline, handshake_hostile, and the sizes in transmission_illegal.
 */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';
import { tempFolder } from '../support/tmp.ts';

const MIB = 1024 * 1024;

/** Resolves when `value` stays what it is for many turns. */
async function settled(value: () => number): Promise<number> {
  for (let same = 0, last = -1; same < 200; same++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (value() !== last) same = 0;
    last = value();
  }
  return value();
}

t.test('no more than 256 KiB are received while a block waits', async (t) => {
  const device = new RamDevice();
  const { socketPath, counters } = await serve(t, device);
  const client = await rawClient(t, socketPath, 'ram');
  device.writes = 'wait';
  const before = counters.bytesIn;
  client.socket.write(Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 1, 0, 4 * MIB), Buffer.alloc(4 * MIB, 1)]));
  const received = (await settled(() => counters.bytesIn)) - before;
  t.ok(received <= 256 * 1024, `${received} bytes`);
  t.ok(received > 200 * 1024, `${received} bytes`);
  device.release();
  await client.take(16);
  t.equal(device.written[1023], 1);
});

t.test('no more than 2 MiB of replies wait for a client that takes none', async (t) => {
  const device = new RamDevice();
  device.written.fill(1);
  const { socketPath, counters } = await serve(t, device);
  const client = await rawClient(t, socketPath, 'ram');
  for (let n = 0; n < 100; n++) client.request(wire.NBD_CMD_READ, 0, n, 0, MIB);
  const out = await settled(() => counters.bytesOut);
  // With what the kernel has taken: it lets go of no chunk that it took in part.
  t.ok(out <= 2 * MIB + 512 * 1024, `${out} bytes`);
  t.equal((await client.take(100 * (16 + MIB))).length, 100 * (16 + MIB));
});

t.test('no more than 8 MiB are looked at for a DISC', async (t) => {
  const device = new RamDevice();
  let asked = 0;
  const endless = (real: wire.ConnectionFence): wire.ConnectionFence => ({
    ...real,
    // Requests, as far as one may look. Allocated memory grows with each call, so what is asked for is the bound.
    peek(into) {
      asked = Math.max(asked, into.length);
      if (into.length > 64 * MIB) return 0;
      const one = rawRequest(wire.NBD_CMD_CACHE, 0, 1, 0, 0);
      for (let at = 0; at < into.length; at += one.length) into.set(one.subarray(0, into.length - at), at);
      return into.length;
    },
  });
  const { socketPath, ended } = await serve(t, device, { fence: endless });
  const client = await rawClient(t, socketPath, 'ram');
  device.writes = 'wait';
  client.socket.write(Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 1, 0, BLOCK), Buffer.alloc(BLOCK, 1)]));
  await until(() => device.waiters === 1);
  client.socket.destroy();
  await ended(1);
  t.equal(asked, 8 * MIB);
});

/** 40 READs of a block by each of `n` clients, which the device keeps; how many of them have a buffer after each client. */
async function slowReads(t: Test, device: RamDevice, n: number): Promise<{ all: Promise<Buffer>[]; held: number[] }> {
  device.bytes.fill(7);
  device.written.fill(1);
  device.others = 'held';
  const { connect } = await serve(t, device);
  const all: Promise<Buffer>[] = [];
  const held: number[] = [];
  for (let c = 0; c < n; c++) {
    const client = await connect();
    for (let i = 0; i < 40; i++) all.push(client.read((40 * c + i) * BLOCK, BLOCK));
    held.push(await settled(() => device.held));
  }
  return { all, held };
}

async function answered(t: Test, device: RamDevice, all: readonly Promise<Buffer>[]): Promise<void> {
  let left = all.length;
  for (const read of all) read.then(() => left--, t.threw);
  while (left > 0) {
    device.release(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const read of all) t.ok((await read).equals(Buffer.alloc(BLOCK, 7)));
}

t.test('32 slow reads of a connection have a buffer, 128 of the pool, and one of each connection', async (t) => {
  const device = new RamDevice({ size: 48 * MIB });
  const { all, held } = await slowReads(t, device, 12);
  // Of those of a connection one is its own, and 31 are of the pool.
  t.strictSame(held, [32, 64, 96, 128, 133, 134, 135, 136, 137, 138, 139, 140]);
  await answered(t, device, all);
});

t.test('a READ that waits for a buffer keeps nothing behind it waiting', async (t) => {
  const stuck = new RamDevice({ size: 48 * MIB });
  const { all } = await slowReads(t, stuck, 6);
  const device = new RamDevice();
  device.written.fill(1);
  device.others = 'held';
  const { connect } = await serve(t, device);
  const client = await connect();
  const reads = Array.from({ length: 100 }, (_, i) => client.read(i * BLOCK, BLOCK));
  await client.write(200 * BLOCK, Buffer.alloc(BLOCK, 3));
  t.ok(device.held < 100, `of 100 READs ${device.held} have a buffer, and the WRITE behind them is answered`);
  let left = reads.length;
  for (const read of reads) read.then(() => left--, t.threw);
  while (left > 0) {
    device.release(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await answered(t, stuck, all);
});

t.test('devices that stand still leave buffers for the reads of others', async (t) => {
  const stalled = [new RamDevice({ size: 48 * MIB }), new RamDevice({ size: 48 * MIB })];
  const first = await slowReads(t, stalled[0], 6);
  const second = await slowReads(t, stalled[1], 6);
  const device = new RamDevice();
  const { all, held } = await slowReads(t, device, 1);
  t.ok(held[0] > 4, `${held[0]} at a time`);
  await answered(t, device, all);
  await answered(t, stalled[0], first.all);
  await answered(t, stalled[1], second.all);
  const again = new RamDevice();
  const after = await slowReads(t, again, 1);
  t.equal(after.held[0], 32, 'all were given back');
  await answered(t, again, after.all);
});

t.test('a server takes 100 connections, and the next one when one has left', async (t) => {
  const server = new wire.NbdServer({ devices: [new RamDevice()], handshakeTimeoutMs: 60_000 });
  const path = join(tempFolder(t), 'nbd.sock');
  await server.listen({ path });
  const open = async () => {
    const socket = createConnection({ path });
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  const held = [];
  for (let n = 0; n < 100; n++) held.push(await open());
  await until(() => server.connections === 100);
  const refused = await open();
  refused.resume();
  await once(refused, 'close');
  t.equal(server.refused, 1);
  held[50].destroy();
  await until(() => server.connections === 99);
  const next = await open();
  const [greeting] = await once(next, 'data');
  t.equal(greeting.length, 18);
  await server.close();
  t.equal(server.connections, 0);
});
