// What a connection sends behind a TRIM or WRITE_ZEROES that its device has not settled: it comes after it where both touch the
// same bytes, and does not wait for it anywhere else.
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { type Served, serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';

const { NBD_CMD_DISC, NBD_CMD_TRIM, NBD_CMD_WRITE, NBD_CMD_WRITE_ZEROES } = wire;
const block = (fill: number, blocks = 1): Buffer => Buffer.alloc(blocks * BLOCK, fill);

/** What the device is asked for, in the order in which it is. */
function calls(device: RamDevice): string[] {
  const seen: string[] = [];
  const { write, writePart, readNow, trim, zero } = device;
  device.write = (request, n, ...rest) => seen.push(`write ${n}`) && write.call(device, request, n, ...rest);
  device.writePart = (request, n, ...rest) => seen.push(`part ${n}`) && writePart.call(device, request, n, ...rest);
  device.readNow = (n, ...rest) => seen.push(`read ${n}`) && readNow.call(device, n, ...rest);
  device.trim = (...args) => void (seen.push(`trim ${args[1] / BLOCK}`) && trim.apply(device, args));
  device.zero = (...args) => void (seen.push(`zero ${args[1] / BLOCK}`) && zero.apply(device, args));
  return seen;
}

async function held(t: Test): Promise<{ device: RamDevice; served: Served; client: wire.NbdClient; seen: string[] }> {
  const device = new RamDevice();
  device.bytes.fill(1);
  device.written.fill(1);
  const seen = calls(device);
  const served = await serve(t, device);
  device.others = 'held';
  return { device, served, client: await served.connect(), seen };
}

/** Requests as bytes: what has arrived is parsed in the same turn, as far as nothing holds it back. */
const HEADER = wire.NBD_REQUEST_BYTES;
const LATER = {
  write: (client: wire.NbdClient) => client.write(7 * BLOCK, block(2)),
  part: (client: wire.NbdClient) => client.write(8 * BLOCK - 1, Buffer.from([2])),
  read: (client: wire.NbdClient) => client.read(6 * BLOCK, 4 * BLOCK),
  trim: (client: wire.NbdClient) => client.trim(0, BLOCK),
  zero: (client: wire.NbdClient) => client.writeZeroes(8 * BLOCK - 1, 10),
};
const PAYLOAD = { write: BLOCK, part: 1, read: 0, trim: 0, zero: 0 };

for (const [name, type] of [
  ['TRIM', NBD_CMD_TRIM],
  ['WRITE_ZEROES', NBD_CMD_WRITE_ZEROES],
] as const) {
  t.test(`a WRITE, a READ and a range behind a ${name} of the same bytes come after it`, async (t) => {
    for (const later of ['write', 'part', 'read', 'trim', 'zero'] as const) {
      const { device, served, client, seen } = await held(t);
      const first = client.request(type, 0, 0, 8 * BLOCK);
      await until(() => device.held === 1);
      seen.length = 0;
      const arrived = served.counters.bytesIn + 2 * HEADER + PAYLOAD[later];
      const second = Promise.resolve(LATER[later](client));
      const flushed = client.flush();
      await until(() => served.counters.bytesIn === arrived);
      t.strictSame(seen, [], `${later}: the device is not asked`);
      t.equal(device.flushes, 0, 'nor for what is behind that');
      device.release();
      const [answer] = await Promise.all([second, first, flushed]);
      if (later === 'write') t.ok(device.bytes.subarray(7 * BLOCK, 8 * BLOCK).equals(block(2)));
      if (later === 'part') t.equal(device.bytes[8 * BLOCK - 1], 2);
      if (later === 'read') t.ok(answer?.equals(Buffer.concat([block(0, 2), block(1, 2)])));
    }
  });

  t.test(`a ${name} holds up nothing beside its bytes`, async (t) => {
    const { device, client, seen } = await held(t);
    const range = client.request(type, 0, 8 * BLOCK, 8 * BLOCK);
    await until(() => device.held === 1);
    seen.length = 0;
    await client.write(7 * BLOCK, block(2));
    await client.write(16 * BLOCK, block(2));
    const others = [client.read(7 * BLOCK, BLOCK), client.trim(0, BLOCK), client.writeZeroes(17 * BLOCK, 5)];
    await until(() => device.held === 4);
    t.strictSame(
      seen.filter((call) => !call.startsWith('part')),
      ['write 7', 'write 16', 'read 7', 'trim 0', 'zero 17'],
    );
    device.release();
    await Promise.all([range, ...others]);
  });
}

t.test('a range behind a WRITE that waits comes after it, and a WRITE behind that after both', async (t) => {
  const { device, client, seen } = await held(t);
  device.writes = 'wait';
  const requests = [client.write(0, block(2)), client.trim(0, BLOCK), client.write(0, block(3))];
  await until(() => device.waiters === 1);
  t.strictSame(seen, ['write 0', 'part 0']);
  seen.length = 0;
  device.release();
  await Promise.all(requests);
  t.strictSame(seen, ['write 0', 'part 0', 'trim 0', 'write 0', 'part 0']);
  t.ok(device.bytes.subarray(0, BLOCK).equals(block(3)));
});

t.test('another connection does not wait for the range, whose end is for the device to see', async (t) => {
  const { device, served, client, seen } = await held(t);
  const trimmed = client.trim(0, 8 * BLOCK);
  await until(() => device.held === 1);
  const other = await served.connect();
  await other.write(0, block(2));
  t.strictSame(seen, ['trim 0', 'write 0', 'part 0']);
  device.release();
  await trimmed;
});

t.test('with FUA the wait is for the range and not for its persist', async (t) => {
  const { device, served, client } = await held(t);
  const zeroed = client.request(NBD_CMD_WRITE_ZEROES, wire.NBD_CMD_FLAG_FUA, 0, BLOCK);
  await until(() => device.held === 1);
  const arrived = served.counters.bytesIn + HEADER + BLOCK;
  const written = client.write(0, block(2));
  await until(() => served.counters.bytesIn === arrived);
  device.release(true);
  await written;
  t.equal(device.held, 1);
  device.release();
  await zeroed;
  t.ok(device.bytes.subarray(0, BLOCK).equals(block(2)));
});

t.test('256 ranges, each behind those that it overlaps, end in their order', async (t) => {
  const device = new RamDevice();
  const seen = calls(device);
  const { connect } = await serve(t, device);
  device.others = 'soon';
  const client = await connect({ maxInFlight: 1000 });
  const expected: string[] = [];
  const all: Promise<unknown>[] = [];
  for (let i = 0; i < 256; i++) {
    all.push(client.writeZeroes((i % 8) * BLOCK, 4 * BLOCK), client.write((i % 8) * BLOCK, block(i)));
    expected.push(`zero ${i % 8}`, `write ${i % 8}`, `part ${i % 8}`);
  }
  await Promise.all(all);
  t.strictSame(seen, expected);
});

t.test('what is held back goes with its connection, and nothing of it lands', async (t) => {
  const { device, served, seen } = await held(t);
  const old = await rawClient(t, served.socketPath, 'ram');
  const write = Buffer.concat([rawRequest(NBD_CMD_WRITE, 0, 2, 0, BLOCK), block(2)]);
  old.socket.write(Buffer.concat([rawRequest(NBD_CMD_TRIM, 0, 1, 0, 8 * BLOCK), write]));
  await until(() => device.held === 1 && old.socket.writableLength === 0);
  old.socket.destroy();
  await until(() => old.socket.closed);
  device.release();
  await served.ended(1);
  t.strictSame(seen, ['trim 0']);
  t.ok(device.bytes.subarray(0, BLOCK).equals(block(1)), 'neither of the two');
});

t.test('what is held back in front of a DISC is done', async (t) => {
  const { device, served } = await held(t);
  const client = await rawClient(t, served.socketPath, 'ram');
  const write = Buffer.concat([rawRequest(NBD_CMD_WRITE, 0, 2, 0, BLOCK), block(2)]);
  const disc = rawRequest(NBD_CMD_DISC, 0, 3, 0, 0);
  client.socket.write(Buffer.concat([rawRequest(NBD_CMD_TRIM, 0, 1, 0, 8 * BLOCK), write, disc]));
  await until(() => device.held === 1 && client.socket.writableLength === 0);
  client.socket.destroy();
  await until(() => client.socket.closed);
  device.release();
  await served.ended(1);
  t.ok(device.bytes.subarray(0, 2 * BLOCK).equals(Buffer.concat([block(2), block(0)])));
});

t.test('a stop answers what was held back, and ends', async (t) => {
  const { device, served, client } = await held(t);
  const trimmed = client.trim(0, BLOCK);
  await until(() => device.held === 1);
  const arrived = served.counters.bytesIn + HEADER + BLOCK;
  const written = t.rejects(client.write(0, block(2)), { code: 'ESHUTDOWN' });
  await until(() => served.counters.bytesIn === arrived);
  served.connections[0].stop();
  device.release();
  await Promise.all([trimmed, written, client.closed]);
  await served.ended(1);
});

t.test('a device that keeps the order itself is asked at once', async (t) => {
  const device = Object.assign(new RamDevice(), { keepsOrder: true });
  const { connect } = await serve(t, device);
  const client = await connect();
  device.others = 'held';
  const trimmed = client.trim(0, BLOCK);
  await until(() => device.held === 1);
  await client.write(0, block(2));
  device.release();
  await trimmed;
});
