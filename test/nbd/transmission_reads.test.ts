/** READ in slices: long, unaligned, slow, with holes, with DF, and failing half-way. */
import { randomBytes } from 'node:crypto';
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';

const MIB = 1024 * 1024;
const SIZE = 48 * MIB;

function filled(): RamDevice {
  const device = new RamDevice({ size: SIZE });
  device.bytes.set(randomBytes(SIZE));
  device.written.fill(1);
  return device;
}

for (const structured of [true, false]) {
  for (const others of ['now', 'soon'] as const) {
    t.test(`long reads side by side, structured=${structured}, ${others}`, async (t) => {
      const device = filled();
      device.others = others;
      const { connect } = await serve(t, device);
      const client = await connect({ structured, baseAllocation: structured });
      const ranges = [
        [0, 32 * MIB],
        [1, 3 * MIB + 17],
        [SIZE - 5, 5],
        [4095, 2],
        [7 * MIB - 1, 131072],
        [12345, 131072 + 4096],
        ...Array.from({ length: 60 }, (_, i) => [i * 131072 + i, 131072 + i]),
      ];
      await Promise.all(
        ranges.map(async ([offset, length]) => {
          const data = await client.read(offset, length);
          if (!data.equals(device.bytes.subarray(offset, offset + length))) t.fail(`read ${offset}+${length}`);
        }),
      );
      await client.disconnect();
    });
  }
}

t.test('holes come as holes, data as data', async (t) => {
  const device = new RamDevice({ size: SIZE });
  const { connect, counters } = await serve(t, device);
  const client = await connect();
  await client.write(MIB + 100, Buffer.alloc(10_000, 7));
  const before = counters.bytesOut;
  const data = await client.read(5, 20 * MIB);
  t.ok(data.equals(device.bytes.subarray(5, 5 + 20 * MIB)));
  t.ok(counters.bytesOut - before < 20_000, 'the zeroes did not cross the wire');
  t.equal(counters.holeBlocks, (20 * MIB) / BLOCK + 1 - 3, 'all blocks but those three');
});

t.test('block status merges equal runs, obeys REQ_ONE, and has an end', async (t) => {
  const device = new RamDevice({ size: SIZE });
  const { connect } = await serve(t, device);
  const client = await connect();
  device.extent = (block, _end, into) => {
    into.end = block + 1;
    into.status = block < 10 || block >= 20 ? 0 : 3;
    return into;
  };
  const [data, hole] = [0, 3];
  t.same(await client.blockStatus(100, 30 * BLOCK), [
    { offset: 100, length: 10 * BLOCK - 100, flags: data },
    { offset: 10 * BLOCK, length: 10 * BLOCK, flags: hole },
    { offset: 20 * BLOCK, length: 10 * BLOCK + 100, flags: data },
  ]);
  t.same(await client.blockStatus(100, 30 * BLOCK, { reqOne: true }), [
    { offset: 100, length: 10 * BLOCK - 100, flags: data },
  ]);
  device.extent = (block, _end, into) => {
    into.end = block + 1;
    into.status = block % 2 === 0 ? 0 : 3;
    return into;
  };
  t.equal((await client.blockStatus(0, SIZE)).length, 4096);
});

t.test('DF: one chunk, also for an unaligned range and for holes', async (t) => {
  for (const others of ['now', 'soon'] as const) {
    const device = new RamDevice({ size: SIZE });
    device.bytes.fill(9, 0, 65536);
    device.written.fill(1, 0, 16);
    device.others = others;
    const { connect } = await serve(t, device);
    const client = await connect();
    for (const [offset, length] of [
      [0, 65536],
      [1, 131072],
      [4097, 131072],
    ]) {
      const data = await client.read(offset, length, { df: true });
      t.ok(data.equals(device.bytes.subarray(offset, offset + length)));
    }
    await t.rejects(client.read(0, 131073, { df: true }), { code: 'EOVERFLOW' });
  }
});

t.test('a structured read that fails half-way says so, and the connection goes on', async (t) => {
  const device = filled();
  device.others = 'soon';
  device.failing = (op, n) => (op === 'read' && n === 32 ? wire.NBD_EIO : 0);
  const { connect } = await serve(t, device);
  const client = await connect();
  await t.rejects(client.read(0, 8 * 131072), { code: 'EIO' });
  t.equal((await client.read(0, BLOCK)).length, BLOCK);
});

t.test('a simple read that fails at once says so', async (t) => {
  const device = filled();
  device.failing = (op, n) => (op === 'read' && n === 0 ? wire.NBD_EIO : 0);
  const { connect } = await serve(t, device);
  const client = await connect({ structured: false, baseAllocation: false });
  await t.rejects(client.read(0, 8 * 131072), { code: 'EIO' });
  t.equal((await client.read(BLOCK, BLOCK)).length, BLOCK);
});

t.test('a simple read that is too long to be gathered, and fails half-way, ends the connection', async (t) => {
  const device = filled();
  device.failing = (op, n) => (op === 'read' && n === 32 ? wire.NBD_EIO : 0);
  const { connect, ended } = await serve(t, device);
  const client = await connect({ structured: false, baseAllocation: false });
  await t.rejects(client.read(0, 4 * MIB + 1), { code: 'ENOTCONN' });
  await ended(1);
});

t.test(
  'a client that does not read its replies stops the server from reading, and then gets all of them',
  async (t) => {
    const device = filled();
    device.others = 'soon';
    const { connect, socketPath } = await serve(t, device);
    const { rawClient } = await import('../support/raw_client.ts');
    const slow = await rawClient(t, socketPath, 'ram');
    const count = 400;
    for (let i = 0; i < count; i++) slow.request(wire.NBD_CMD_READ, 0, i, i * 65536, 65536);
    // Another connection is served all the while, also when it has to wait for its device.
    const other = await connect();
    for (let i = 0; i < 50; i++) t.equal((await other.read(i * BLOCK, BLOCK)).length, BLOCK);
    t.ok(device.reads < count, 'the server did not fetch what nobody takes');
    const want = 16 + 65536;
    const replies = await slow.take(count * want);
    const seen = new Set<number>();
    for (let i = 0; i < count; i++) {
      const at = i * want;
      const cookie = replies.readUInt32BE(at + 12);
      seen.add(cookie);
      const data = replies.subarray(at + 16, at + want);
      if (!data.equals(device.bytes.subarray(cookie * 65536, (cookie + 1) * 65536))) t.fail(`reply ${cookie}`);
    }
    t.equal(seen.size, count);
  },
);

t.test('a simple reply under way goes first, whoever waits for room already', async (t) => {
  const device = filled();
  const { socketPath, counters } = await serve(t, device);
  const { rawClient } = await import('../support/raw_client.ts');
  const slow = await rawClient(t, socketPath, 'ram');
  // The device has to fetch what follows the first 1.5 MiB, when the client has taken nothing of them.
  const now = device.readNow.bind(device);
  device.readNow = (block, count, dst, at) => (block >= 384 ? 0 : now(block, count, dst, at));
  device.others = 'now';
  device.read = (request, block, count, dst, at) => {
    device.reads++;
    dst.set(device.bytes.subarray(block * BLOCK, (block + count) * BLOCK), at);
    later.push(() => request.settle(0));
  };
  const later: (() => void)[] = [];
  const length = 4 * MIB + BLOCK;
  slow.request(wire.NBD_CMD_READ, 0, 1, 0, length);
  await until(() => later.length === 1);
  const before = counters.reads;
  for (let n = 2; n < 6; n++) slow.request(wire.NBD_CMD_READ, 0, n, 0, BLOCK);
  await until(() => counters.reads > before);
  const settle = async (): Promise<void> => {
    for (const done of later.splice(0)) done();
    await new Promise((resolve) => setImmediate(resolve));
  };
  // Until there is no room for it.
  for (let idle = 0; idle < 50; idle++) {
    if (later.length > 0) idle = 0;
    await settle();
  }
  t.ok(counters.bytesOut < length);
  let got: Buffer | null = null;
  const all = slow.take(16 + length + 4 * (16 + BLOCK)).then((bytes) => {
    got = bytes;
  });
  while (got === null) await settle();
  await all;
  t.ok((got as Buffer).subarray(16, 16 + length).equals(device.bytes.subarray(0, length)));
});

t.test('structured chunks beyond 4 GiB say where they belong, data and holes', async (t) => {
  const device = new RamDevice();
  // The device is larger than its memory, which comes again and again.
  Object.assign(device.info, { size: 2 ** 40 });
  const fill = (block: number): number => 1 + (block % 251);
  device.readNow = (block, count, dst, at) => {
    if (device.others !== 'now') return 0;
    for (let i = 0; i < count; i++) dst.fill(fill(block + i), at + i * BLOCK, at + (i + 1) * BLOCK);
    return count;
  };
  device.read = (request, block, count, dst, at) => {
    for (let i = 0; i < count; i++) dst.fill(fill(block + i), at + i * BLOCK, at + (i + 1) * BLOCK);
    setImmediate(() => request.settle(0));
  };
  device.extent = (block, end, into) => {
    into.end = Math.min(end, block + 1);
    into.status = block % 4 === 3 ? 3 : 0;
    return into;
  };
  const { connect } = await serve(t, device);
  const client = await connect();
  const expected = (offset: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) {
      const block = Math.floor((offset + i) / BLOCK);
      bytes[i] = block % 4 === 3 ? 0 : fill(block);
    }
    return bytes;
  };
  for (const others of ['now', 'soon'] as const) {
    device.others = others;
    for (const offset of [2 ** 31 - 8192, 2 ** 32 - 8192, 2 ** 32, 5 * 2 ** 32 + 123, 2 ** 40 - 65536]) {
      const length = 40_000;
      t.ok((await client.read(offset, length)).equals(expected(offset, length)), `${offset}, ${others}`);
    }
    const one = await client.read(3 * 2 ** 32, BLOCK);
    t.ok(one.equals(Buffer.alloc(BLOCK, fill((3 * 2 ** 32) / BLOCK))), `a single block, ${others}`);
  }
});
