// Devices by blocks: what they may leave out, and what is said when they leave out what they offer.
import * as wire from 'node-nbd-server';
import { type Device, NbdClient, NbdServer, OK } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { until } from '../support/nbd_server.ts';
import { ramInfo } from '../support/ram_device.ts';
import { runAt } from '../support/run_process.ts';

const READ_ONLY = wire.NBD_FLAG_HAS_FLAGS | wire.NBD_FLAG_READ_ONLY;
const WRITABLE = wire.NBD_FLAG_HAS_FLAGS;

/** Block n is full of n. */
function numbered(flags: number, o: Partial<Device> = {}): Device {
  return {
    info: ramInfo({ size: 64 * 4096, flags }),
    blockSize: 4096,
    readNow: (block, count, dst, at) => {
      for (let i = 0; i < count; i++) dst.fill(block + i, at + i * 4096, at + (i + 1) * 4096);
      return count;
    },
    ...o,
  };
}

async function connected(t: Test, device: Device): Promise<NbdClient> {
  const server = new NbdServer({ devices: [device] });
  await server.listen(0);
  t.teardown(() => server.close(0));
  return NbdClient.connect({ port: server.port, baseAllocation: true });
}

t.test('a device of one method', async (t) => {
  const client = await connected(t, numbered(READ_ONLY));
  t.same([...new Set(await client.read(4096 * 3 - 1, 4098))], [2, 3, 4]);
  t.same(await client.blockStatus(0, 8192), [{ offset: 0, length: 8192, flags: 0 }], 'all is data');
});

t.test('what readNow does not have, and read does not bring, is EIO', async (t) => {
  const client = await connected(t, numbered(READ_ONLY, { readNow: () => 0 }));
  await t.rejects(client.read(0, 4096), { code: 'EIO' });
  await t.rejects(client.read(1, 1), { code: 'EIO' });
});

t.test('a device that only reads asynchronously', async (t) => {
  const { readNow, ...rest } = numbered(READ_ONLY);
  const read: Device['read'] = (request, block, count, dst, at) => {
    readNow!(block, count, dst, at);
    setImmediate(() => request.settle(0));
  };
  const client = await connected(t, { ...rest, read });
  t.same([...new Set(await client.read(4096 * 3 - 1, 4098))], [2, 3, 4]);
});

t.test('no parts where clients may not ask for any', async (t) => {
  const write = () => OK;
  const info = ramInfo({ size: 64 * 4096, flags: WRITABLE, minBlock: 4096 });
  const client = await connected(t, { ...numbered(WRITABLE), info, write });
  await client.write(4096, Buffer.alloc(8192));
  await t.rejects(client.write(1, Buffer.alloc(1)), { code: 'EINVAL' });
});

t.test('a last block that is shorter', async (t) => {
  const parts: number[][] = [];
  const device: Device = {
    ...numbered(WRITABLE),
    info: ramInfo({ size: 10_000, flags: WRITABLE }),
    write: () => OK,
    writePart: (_, block, within, length) => {
      parts.push([block, within, length]);
      return OK;
    },
  };
  const client = await connected(t, device);
  await client.write(0, Buffer.alloc(10_000));
  t.same(parts, [[2, 0, 10_000 - 8192]]);
  t.same([...new Set(await client.read(8000, 2000))], [1, 2]);
});

t.test('what is offered has to be there', async (t) => {
  const writePart = () => OK;
  const write = () => OK;
  const rows: [RegExp, Device][] = [
    [/no write,/, numbered(WRITABLE)],
    [/no writePart/, numbered(WRITABLE, { write })],
    [/SEND_TRIM/, numbered(READ_ONLY | wire.NBD_FLAG_SEND_TRIM)],
    [/SEND_FLUSH/, numbered(READ_ONLY | wire.NBD_FLAG_SEND_FLUSH)],
    [/SEND_FUA/, numbered(WRITABLE | wire.NBD_FLAG_SEND_FUA, { write, writePart })],
    [/SEND_WRITE_ZEROES/, numbered(WRITABLE | wire.NBD_FLAG_SEND_WRITE_ZEROES, { write, writePart })],
    [/SEND_FAST_ZERO/, numbered(READ_ONLY | wire.NBD_FLAG_SEND_FAST_ZERO)],
    [/neither readNow nor read/, { info: ramInfo({ flags: READ_ONLY }), blockSize: 4096 }],
    ...[0, 3, 131_072].map((blockSize): [RegExp, Device] => [/blockSize is/, { ...numbered(READ_ONLY), blockSize }]),
  ];
  for (const [message, device] of rows) t.throws(() => new NbdServer({ devices: [device] }), { message });
});

t.test('FAST_ZERO reaches the device', async (t) => {
  const seen: boolean[][] = [];
  const flags = WRITABLE | wire.NBD_FLAG_SEND_WRITE_ZEROES | wire.NBD_FLAG_SEND_FAST_ZERO;
  const zero: Device['zero'] = (request, _offset, _length, noHole, fast) => {
    seen.push([noHole, fast]);
    setImmediate(() => request.settle(fast ? wire.NBD_ENOTSUP : 0));
  };
  const client = await connected(t, numbered(flags, { write: () => OK, writePart: () => OK, zero }));
  await client.writeZeroes(0, 4096);
  await client.writeZeroes(0, 4096, { noHole: true });
  await t.rejects(client.writeZeroes(0, 4096, { fastZero: true }), { code: 'ENOTSUP' });
  t.same(seen, [
    [false, false],
    [true, false],
    [false, true],
  ]);
});

t.test('a device that never settles does not keep close from its end', async (t) => {
  let asked = 0;
  let signal: AbortSignal | undefined;
  const trim: Device['trim'] = (request) => {
    asked++;
    signal = request.signal;
  };
  const flags = WRITABLE | wire.NBD_FLAG_SEND_TRIM;
  const server = new NbdServer({ devices: [numbered(flags, { write: () => OK, writePart: () => OK, trim })] });
  await server.listen(0);
  const client = await NbdClient.connect({ port: server.port });
  const answer = client.trim(0, 4096);
  await until(() => asked === 1);
  const closed = server.close(1);
  await t.rejects(answer);
  await closed;
  t.ok(signal?.aborted);
  t.equal(server.connections, 1, 'which the server still counts');
});

t.test('what a block-wise device throws is an uncaught exception', async (t) => {
  const program = `
    import { NbdClient, NbdServer } from 'node-nbd-server';
    const info = { name: '', description: '', size: 4096, flags: 3, minBlock: 1, preferredBlock: 4096, maxBlock: 4096 };
    const readNow = () => { throw new Error('a bug of the device'); };
    const server = new NbdServer({ devices: [{ info, blockSize: 4096, readNow }] });
    await server.listen(0);
    const client = await NbdClient.connect({ port: server.port });
    await client.read(0, 4096);
  `;
  const { code, stderr } = await runAt('.', process.execPath, ['--input-type=module', '-e', program]);
  t.not(code, 0);
  t.match(stderr, /a bug of the device/);
});

t.test('a device whose extent has no block is wrong, and no client is told of it', async (t) => {
  const program = `
    import { NbdClient, NbdServer } from 'node-nbd-server';
    const info = { name: 'odd', description: '', size: 8192, flags: 3, minBlock: 1, preferredBlock: 4096, maxBlock: 8192 };
    const extent = (block, end, into) => Object.assign(into, { end: block, status: 3 });
    const server = new NbdServer({ devices: [{ info, blockSize: 4096, readNow: (block, count) => count, extent }] });
    await server.listen(0);
    const client = await NbdClient.connect({ port: server.port, baseAllocation: true });
    await client[process.argv[1]](0, 8192);
  `;
  for (const request of ['read', 'blockStatus']) {
    const { code, stderr } = await runAt('.', process.execPath, ['--input-type=module', '-e', program, request]);
    t.not(code, 0);
    t.match(stderr, /RangeError: device of export "odd": its extent at block 0 ends at 0/);
  }
});
