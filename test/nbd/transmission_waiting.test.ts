/** Devices that let a request wait: WAIT, TAKEN, slow reads, and replies out of order. */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';

const block = (fill: number, blocks = 1): Buffer => Buffer.alloc(blocks * BLOCK, fill);

t.test('a waiting unit is repeated after resume, and what is behind it stays behind', async (t) => {
  const device = new RamDevice();
  const { connect, counters } = await serve(t, device);
  const client = await connect();
  device.writes = 'wait';
  const write = client.write(0, block(1, 3));
  const read = client.read(0, 3 * BLOCK);
  await until(() => device.waiters === 1);
  t.equal(device.reads, 0);
  t.equal(client.inFlight, 2);
  device.release();
  await write;
  t.ok((await read).equals(block(1, 3)), 'the read saw the write in front of it');
  t.equal(counters.parks, 1);
});

t.test(
  'a unit that may go on is offered before READs that wait for a buffer: others may wait for what it holds',
  async (t) => {
    const device = new RamDevice();
    const { connect } = await serve(t, device);
    const client = await connect({ maxInFlight: 256 });
    const calls: string[] = [];
    const { write, readNow, read } = device;
    device.others = 'held';
    const reads = Array.from({ length: 64 }, (_, i) => client.read(i * BLOCK, BLOCK));
    await until(() => device.held > 0);
    const buffers = device.held;
    device.writes = 'wait';
    const answered = client.write(100 * BLOCK, block(1));
    await until(() => device.waiters === 1);
    t.equal(device.held, buffers, 'the other READs wait for a buffer');
    t.ok(buffers < reads.length);
    device.write = (...args) => calls.push('write') && write.apply(device, args);
    device.readNow = (...args) => calls.push('read') && readNow.apply(device, args);
    device.read = (...args) => void (calls.push('read') && read.apply(device, args));
    device.release();
    await Promise.all([...reads, answered]);
    t.equal(calls[0], 'write');
    t.equal(calls.filter((call) => call === 'read').length, reads.length - buffers);
  },
);

t.test('spurious resumes do no harm', async (t) => {
  const device = new RamDevice();
  const { connect, counters } = await serve(t, device);
  const client = await connect();
  device.writes = 'wait';
  const write = client.write(100, block(2));
  await until(() => device.waiters === 1);
  for (let i = 0; i < 5; i++) {
    const before = device.waits;
    device.wakeSpuriously();
    await until(() => device.waits > before);
  }
  t.equal(counters.parks, 1, 'one request waits, however often it looks');
  device.release();
  await write;
  t.ok((await client.read(100, BLOCK)).equals(block(2)));
});

t.test('a resume inside the call that answers WAIT is not lost', async (t) => {
  const device = new RamDevice();
  let calls = 0;
  const write = device.write.bind(device);
  device.write = (request, n, src, at) => {
    if (++calls > 1) return write(request, n, src, at);
    request.resume();
    return -1;
  };
  const { connect } = await serve(t, device);
  const client = await connect();
  await client.write(0, block(3));
  t.equal(calls, 2);
});

t.test('a write is answered when all its taken units have settled', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect();
  device.writes = 'taken';
  let answered = false;
  const write = client.write(0, block(4, 20)).then(() => {
    answered = true;
  });
  await until(() => device.taken === 20);
  device.writes = 'now';
  await client.write(100 * BLOCK, block(5));
  t.equal(answered, false, 'a later write was answered first');
  device.release();
  await write;
  t.ok((await client.read(0, 20 * BLOCK)).equals(block(4, 20)));
});

t.test('FUA waits for persist, after all units', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect();
  device.writes = 'taken';
  device.others = 'held';
  const write = client.write(BLOCK, block(6, 2), { fua: true });
  await until(() => device.held === 2);
  t.same(device.persisted, []);
  device.release(true);
  await until(() => device.held === 1);
  device.release();
  await write;
  t.same(device.persisted, [[BLOCK, 2 * BLOCK]]);
});

t.test('zeroes are a hole, unless NO_HOLE asks for provisioned space', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect();
  await client.write(0, block(6, 3));
  await client.request(wire.NBD_CMD_WRITE_ZEROES, 0, 0, BLOCK);
  await client.request(wire.NBD_CMD_WRITE_ZEROES, wire.NBD_CMD_FLAG_NO_HOLE, BLOCK, BLOCK);
  t.same([...device.written.subarray(0, 3)], [0, 1, 1]);
  t.ok((await client.read(0, 2 * BLOCK)).equals(block(0, 2)));
});

t.test('the first error of a write is its answer, and its payload is swallowed', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect();
  device.failing = (op, n) => (op === 'write' && n >= 3 ? (n === 3 ? wire.NBD_ENOSPC : wire.NBD_EIO) : 0);
  await t.rejects(client.write(0, block(7, 64)), { code: 'ENOSPC' });
  t.ok((await client.read(0, BLOCK)).equals(block(7)));
  device.failing = () => 4242;
  await t.rejects(client.write(0, block(7)), { code: 'EIO' }, 'an error that the protocol lacks');
});

t.test('requests beyond the cap on those in flight wait and are all answered', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect({ maxInFlight: 2000 });
  device.others = 'held';
  const flushes = Array.from({ length: 1000 }, () => client.flush());
  await until(() => device.held === 256);
  t.equal(device.flushes, 256);
  while (device.flushes < 1000 || device.held > 0) {
    device.release(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(flushes);
});

t.test('a slow read does not hold up those behind it', async (t) => {
  const device = new RamDevice();
  const { connect } = await serve(t, device);
  const client = await connect();
  await client.write(0, block(8));
  device.others = 'held';
  const slow = client.read(0, BLOCK);
  await until(() => device.held === 1);
  device.others = 'now';
  t.equal((await client.read(BLOCK, BLOCK)).length, BLOCK);
  device.release();
  t.ok((await slow).equals(block(8)));
});

t.test('DISC waits for everything outstanding', async (t) => {
  const device = new RamDevice();
  const { connect, ended } = await serve(t, device);
  const client = await connect();
  device.writes = 'taken';
  const writes = Array.from({ length: 16 }, (_, i) => client.write(i * BLOCK, block(i + 1)));
  const gone = client.disconnect({ early: true });
  await until(() => device.taken === 16);
  device.release();
  await Promise.all(writes);
  await gone;
  await ended(1);
  t.equal(device.dropped, 0);
});

t.test('stop finishes what runs, refuses what comes, then closes', async (t) => {
  const device = new RamDevice();
  const { connect, connections, ended } = await serve(t, device);
  const client = await connect();
  device.writes = 'taken';
  const write = client.write(0, block(9));
  await until(() => device.taken === 1);
  connections[0].stop();
  await t.rejects(client.read(0, BLOCK), { code: 'ESHUTDOWN' });
  await t.rejects(client.write(0, block(1)), { code: 'ESHUTDOWN' });
  device.release();
  await write;
  await client.closed;
  await ended(1);
});
