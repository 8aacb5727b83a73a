/**
 * Blocks that a device has taken are copies of its own, so a connection may only have so many there, of one WRITE or of
 * many. What follows waits in its place.
 *
 * Seen to fail without the bound: all 40 960 blocks are with the device, 160 MiB.
 */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';

const MIB = 1024 * 1024;
/** As in src/nbd/server/write_path.ts. */
const MAX_TAKEN = 256;

const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

t.test('20 WRITEs of 8 MiB leave 1 MiB with the device', async (t) => {
  const device = new RamDevice();
  const { connect, counters } = await serve(t, device);
  const client = await connect();
  device.writes = 'taken';
  let most = 0;
  device.onHeld = () => {
    most = Math.max(most, device.held);
  };
  const data = Buffer.alloc(8 * MIB, 3);
  let left = 20;
  const writes = Array.from({ length: left }, () => client.write(0, data).then(() => left--));
  while (left > 0) {
    // Until nothing more is taken: the client sends from this thread too.
    for (let before = -1; before !== device.taken; await turns(20)) before = device.taken;
    device.release(true);
  }
  await Promise.all(writes);
  t.equal(most, MAX_TAKEN);
  t.ok(device.bytes.subarray(0, 8 * MIB).equals(data));
  t.equal(counters.parks, 20, 'each is counted as having waited');
});

t.test('small WRITEs, and parts of blocks, count as well', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect({ maxInFlight: 1000 });
  device.writes = 'taken';
  const block = Buffer.alloc(BLOCK, 4);
  const writes = Array.from({ length: 120 }, (_, n) =>
    client.write(n * 4 * BLOCK + 512, Buffer.concat([block, block])),
  );
  await until(() => device.held === MAX_TAKEN);
  await turns(20);
  t.equal(device.held, MAX_TAKEN);
  // One that comes back makes room for one.
  device.release();
  await Promise.all(writes);
});

t.test('another connection has a bound of its own', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const [greedy, other] = [await connect(), await connect()];
  device.writes = 'taken';
  const first = greedy.write(0, Buffer.alloc(4 * MIB, 5));
  await until(() => device.held === MAX_TAKEN);
  const second = other.write(8 * MIB, Buffer.alloc(BLOCK, 6));
  await until(() => device.held === MAX_TAKEN + 1);
  device.release();
  await Promise.all([first, second]);
  t.equal(device.bytes[8 * MIB], 6);
});

t.test('a connection that waits for room ends cleanly, and drops what the device has', async (t) => {
  const device = new RamDevice();
  const served = await serve(t, device);
  const client = await served.connect();
  device.writes = 'taken';
  const write = client.write(0, Buffer.alloc(4 * MIB, 5));
  await until(() => device.held === MAX_TAKEN);
  client.destroy();
  await t.rejects(write, { code: 'ENOTCONN' });
  await turns(20);
  device.release();
  await served.ended(1);
  t.equal(device.dropped, MAX_TAKEN);
  t.equal(device.cancelled, 0, 'no block waits at the device');
});

t.test('an error among the blocks that are taken is the answer of its WRITE', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect();
  device.writes = 'taken';
  device.failing = (op, block) => (op === 'write' && block === 300 ? wire.NBD_ENOSPC : 0);
  const write = client.write(0, Buffer.alloc(2 * MIB, 5));
  const failed = t.rejects(write, { code: 'ENOSPC' });
  await until(() => device.held === MAX_TAKEN);
  device.release();
  await failed;
  t.equal((await client.read(0, BLOCK))[0], 5);
});
