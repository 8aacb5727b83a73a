// Devices by bytes: what comes to their methods, and what they are offered as.
import * as wire from 'node-nbd-server';
import t from 'tap';
import { ram, running } from '../support/byte_server.ts';

t.test('plain returns and promises', async (t) => {
  const later = ram({ name: 'later' });
  const plain = ram({});
  const slow = <A extends unknown[]>(work: (...args: A) => unknown) => {
    return async (...args: A): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      work(...args);
    };
  };
  const devices = [plain, { ...later, read: slow(later.read), write: slow(later.write) }];
  const { connect } = await running(t, devices);
  for (const { name, bytes } of [plain, later]) {
    const client = await connect(name);
    await client.write(4096, Buffer.alloc(8192, 1));
    await client.write(5000, Buffer.alloc(100, 2));
    const expected = Buffer.alloc(16384);
    expected.fill(1, 4096, 12288).fill(2, 5000, 5100);
    t.ok((await client.read(0, 16384)).equals(expected), name);
    t.ok(bytes.subarray(0, 16384).equals(expected), `${name}: as stored`);
    await client.disconnect();
  }
});

t.test('long writes come in chunks of 256 KiB, in memory of their own', async (t) => {
  const calls: [number, Uint8Array][] = [];
  const { connect } = await running(t, ram({ write: (offset, from) => void calls.push([offset, from]) }));
  const client = await connect();
  const payload = Buffer.alloc(700_000);
  for (let i = 0; i < payload.length; i++) payload[i] = (i * 7) >> 8;
  await client.write(100_000, payload);
  await client.write(0, Buffer.alloc(262_144, 9));
  const edges = [100_000, 262_144, 524_288, 786_432, 0];
  t.same(calls.map(([offset]) => offset).sort(), edges.sort());
  const whole = Buffer.alloc(800_000);
  for (const [offset, from] of calls) if (offset > 0) whole.set(from, offset);
  t.ok(whole.subarray(100_000).equals(payload), 'what a call was given stays, whatever was written after it');
});

t.test('a write in many more chunks than are taken at a time', async (t) => {
  for (const blockSize of [512, 4096, 65_536]) {
    const device = ram({ size: 8 * 2 ** 20, blockSize });
    const write = async (offset: number, from: Uint8Array): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      device.bytes.set(from, offset);
    };
    const { connect } = await running(t, { ...device, write });
    const client = await connect();
    const payload = Buffer.alloc(5_000_001, 'payload');
    await client.write(3, payload);
    t.ok((await client.read(3, payload.length)).equals(payload), `in blocks of ${blockSize}`);
  }
});

t.test('a size that is no multiple of anything', async (t) => {
  const reads: [number, number][] = [];
  const device = ram({ size: 10_001 });
  const read = (offset: number, into: Uint8Array): void => {
    reads.push([offset, into.length]);
    into.set(device.bytes.subarray(offset, offset + into.length));
  };
  const { connect } = await running(t, { ...device, read });
  const client = await connect();
  t.equal(client.size, 10_001);
  await client.write(9_990, Buffer.from('the end....'));
  t.equal(String(await client.read(9_990, 11)), 'the end....');
  t.same(reads, [[8192, 1809]], 'whole blocks, cut at the end');
  await t.rejects(client.write(10_000, Buffer.alloc(2)), { code: 'ENOSPC' });
});

t.test('what it is offered as follows from its methods', async (t) => {
  const base = wire.NBD_FLAG_HAS_FLAGS | wire.NBD_FLAG_CAN_MULTI_CONN | wire.NBD_FLAG_SEND_DF;
  const nothing = (): void => undefined;
  const { write: _, ...readOnly } = ram({});
  const all = { trim: nothing, zero: nothing, flush: nothing };
  const durable = wire.NBD_FLAG_SEND_FLUSH | wire.NBD_FLAG_SEND_FUA;
  const table = [
    { device: ram({}), flags: 0 },
    { device: { ...readOnly, ...all }, flags: wire.NBD_FLAG_READ_ONLY | wire.NBD_FLAG_SEND_FLUSH },
    { device: ram({ flush: nothing }), flags: durable },
    { device: ram({ trim: nothing }), flags: wire.NBD_FLAG_SEND_TRIM },
    { device: ram({ zero: nothing }), flags: wire.NBD_FLAG_SEND_WRITE_ZEROES },
    {
      device: ram({ ...all, fastZero: true }),
      flags: durable | wire.NBD_FLAG_SEND_TRIM | wire.NBD_FLAG_SEND_WRITE_ZEROES | wire.NBD_FLAG_SEND_FAST_ZERO,
    },
  ];
  for (const [i, { device, flags }] of table.entries()) {
    const { connect } = await running(t, device);
    t.equal((await connect()).flags, base | flags, `row ${i}`);
  }
});

t.test('trim, zero and flush are told what the client said', async (t) => {
  const said: unknown[] = [];
  const device = ram({
    fastZero: true,
    trim: (offset: number, length: number) => said.push(['trim', offset, length]),
    zero: (offset: number, length: number, { noHole, fast }: wire.ZeroCall) => {
      said.push(['zero', offset, length, noHole, fast]);
      if (fast) throw Object.assign(new Error('not here'), { code: 'ENOTSUP' });
    },
    flush: () => said.push(['flush']),
  });
  const { connect } = await running(t, device);
  const client = await connect();
  await client.trim(5, 10_000);
  await client.writeZeroes(7, 9, { noHole: true });
  await t.rejects(client.request(wire.NBD_CMD_WRITE_ZEROES, wire.NBD_CMD_FLAG_FAST_ZERO, 0, 4096), { code: 'ENOTSUP' });
  await client.flush();
  await client.write(0, Buffer.alloc(10), { fua: true });
  t.same(said, [
    ['trim', 5, 10_000],
    ['zero', 7, 9, true, false],
    ['zero', 0, 4096, false, true],
    ['flush'],
    ['flush'],
  ]);
});

t.test('a name is for those who have several', async (t) => {
  const { name: _, ...nameless } = ram({});
  const { connect } = await running(t, [nameless, ram({ name: 'other', size: 4096 })]);
  t.equal((await connect()).size, 1024 * 1024);
  t.equal((await connect('other')).size, 4096);
  await t.rejects(connect('unknown'));
  const twice = await running(t, nameless).then(({ server }) => wire.NbdClient.list({ port: server.port }));
  t.same(twice, [{ name: '', description: '' }]);
});

t.test('a server goes with its block', async (t) => {
  const { server, connect } = await running(t, ram({}));
  const client = await connect();
  await server[Symbol.asyncDispose]();
  await client.closed;
  await t.rejects(connect());
});

t.test('clients may be held to whole blocks', async (t) => {
  const { connect } = await running(t, ram({ minBlock: 512 }));
  const client = await connect();
  t.equal(client.info.minBlock, 512);
  await t.rejects(client.write(1, Buffer.alloc(512)), { code: 'EINVAL' });
});
