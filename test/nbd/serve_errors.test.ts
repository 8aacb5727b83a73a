// Devices that fail, and devices that never answer: what their client sees, and that nothing old lands after something newer.

import { PassThrough } from 'node:stream';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { type Held, held, ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';
import { runAt } from '../support/run_process.ts';

t.test('what a device throws or rejects with is the client error of that name, and is told', async (t) => {
  const told: unknown[] = [];
  let error: unknown;
  const device = ram({
    write: () => {
      throw error;
    },
    trim: () => Promise.reject(error),
  });
  const { connect } = await running(t, device, { onError: (e) => told.push(e) });
  const client = await connect();
  const table = [
    ['ENOSPC', 'ENOSPC'],
    ['EROFS', 'EPERM'],
    ['EINVAL', 'EINVAL'],
    ['ENOTSUP', 'ENOTSUP'],
    ['ENOENT', 'EIO'],
  ] as const;
  for (const [code, name] of table) {
    error = Object.assign(new Error('no'), { code });
    await t.rejects(client.write(0, Buffer.alloc(4096)), { code: name }, code);
    await t.rejects(client.trim(0, 4096), { code: name }, `${code}, by a promise`);
  }
  error = null;
  await t.rejects(client.write(0, Buffer.alloc(1)), { code: 'EIO' }, 'nothing at all');
  t.equal(told.length, 2 * table.length + 1);
  t.same(await client.read(0, 10), Buffer.alloc(10), 'and the connection goes on');
});

t.test('names that every object has are no errors of ours, nor are codes that can not be read', async (t) => {
  let error: unknown;
  const { connect } = await running(t, ram({ trim: () => Promise.reject(error) }));
  const client = await connect();
  const unreadable = Object.defineProperty({}, 'code', {
    get: () => {
      throw new Error('not yours');
    },
  });
  const coded = ['constructor', 'toString', '__proto__', 28, null].map((code) => ({ code }));
  for (error of [...coded, unreadable, undefined, null, 'ENOSPC']) {
    await t.rejects(client.trim(0, 4096), { code: 'EIO' });
  }
});

t.test('what is no promise but looks like one', async (t) => {
  const results: unknown[] = [
    Object.defineProperty({}, 'then', {
      get: () => {
        throw Object.assign(new Error('no'), { code: 'ENOSPC' });
      },
    }),
    // biome-ignore lint/suspicious/noThenProperty: it is what is tested.
    { then: (done: () => void) => done() },
    // biome-ignore lint/suspicious/noThenProperty: it is what is tested.
    Object.assign(() => undefined, { then: (_: unknown, failed: (e: unknown) => void) => failed({ code: 'EPERM' }) }),
  ];
  const { connect } = await running(t, ram({ trim: () => results.shift() }));
  const client = await connect();
  await t.rejects(client.trim(0, 4096), { code: 'ENOSPC' });
  await client.trim(0, 4096);
  await t.rejects(client.trim(0, 4096), { code: 'EPERM' });
});

t.test('what onError throws is an uncaught exception, and the call is over all the same', async (t) => {
  const program = `
    import { NbdClient, serve } from 'node-nbd-server';
    const onError = () => { throw new Error('a bug of the listener'); };
    let first = true;
    const write = () => { if (!first) return; first = false; throw new Error('disk'); };
    const server = await serve({ name: '', size: 4096, read() {}, write }, 0, { onError });
    process.on('uncaughtException', (error) => console.log('uncaught', error.message));
    const client = await NbdClient.connect({ port: server.port });
    await client.write(0, Buffer.alloc(10)).catch(({ code }) => console.log('write', code));
    await client.write(0, Buffer.alloc(10));
    await client.disconnect();
    await server.close();
    console.log('closed');
  `;
  const { code, stdout } = await runAt('.', process.execPath, ['--input-type=module', '-e', program]);
  t.equal(code, 0);
  t.same(stdout.trim().split('\n').sort(), ['closed', 'uncaught a bug of the listener', 'write EIO']);
});

t.test('who finds no place is told of at once, and the others not one by one', async (t) => {
  const told: unknown[] = [];
  const { server, connect } = await running(t, ram({}), { maxConnections: 2, onError: (error) => told.push(error) });
  const first = [await connect(), await connect()];
  for (let i = 0; i < 20; i++) await t.rejects(connect());
  t.equal(server.refused, 20);
  t.same(
    told.map((error) => (error as Error).message),
    ['no place for 1 more: all 2 connections are taken (maxConnections)'],
  );
  for (const client of first) client.destroy();
  await server.close();
  server.accept(new PassThrough());
  t.equal(told.length, 1, 'and nobody is told of those who come after the end');
});

t.test('a long write of which one chunk fails is answered once, and the stream stays in step', async (t) => {
  const device = ram({ size: 4 * 2 ** 20 });
  const write = async (offset: number, from: Uint8Array): Promise<void> => {
    if (offset === 262_144) throw new Error('a bad spot');
    device.bytes.set(from, offset);
  };
  const { connect, server } = await running(t, { ...device, write });
  const client = await connect();
  for (let i = 0; i < 5; i++) {
    await t.rejects(client.write(0, Buffer.alloc(3_000_000, 1)), { code: 'EIO' });
  }
  await client.write(3_000_000, Buffer.from('here'));
  t.equal(String(await client.read(3_000_000, 4)), 'here');
  t.equal(server.counters.errors, 5);
});

t.test('the signal aborts when the connection ends, and not before', async (t) => {
  const seen: AbortSignal[] = [];
  const gate = held();
  const device = ram({
    read: (_: number, __: Uint8Array, { signal }: wire.DeviceCall) => {
      seen.push(signal);
      return gate.promise;
    },
  });
  const { connect, server } = await running(t, device);
  const client = await connect();
  const reads = [client.read(0, 1), client.read(4096, 1)];
  await until(() => seen.length === 2);
  t.equal(seen[0], seen[1], 'one for the connection');
  t.notOk(seen[0].aborted);
  client.destroy();
  for (const read of reads) await t.rejects(read);
  await until(() => server.connections === 0);
  t.ok(seen[0].aborted, 'and its calls are given up');
  gate.release();
  const other = await connect();
  const polite = other.read(0, 1);
  await polite;
  await other.disconnect();
  await until(() => server.connections === 0);
  t.ok(seen[2].aborted, 'also after a goodbye');
});

/** Writes that end when they are told to. */
function gated(t: Test) {
  const gates: Held[] = [];
  const device = ram({});
  const write = async (offset: number, from: Uint8Array): Promise<void> => {
    const gate = held();
    gates.push(gate);
    await gate.promise;
    device.bytes.set(from, offset);
  };
  t.teardown(() => {
    for (const gate of gates) gate.release();
  });
  return { gates, device: { ...device, write }, bytes: device.bytes };
}

t.test('a write that outlives its connection does not land after a newer one', async (t) => {
  const { gates, device, bytes } = gated(t);
  const { connect, server } = await running(t, device);
  const first = await connect();
  const old = first.write(4096, Buffer.alloc(4096, 1));
  await until(() => gates.length === 1);
  first.destroy();
  await t.rejects(old);
  await until(() => server.connections === 0);
  const second = await connect();
  const elsewhere = second.write(0, Buffer.alloc(4096, 3));
  const newer = second.write(4000, Buffer.alloc(4096, 2));
  await until(() => gates.length === 2);
  gates[1].release();
  await elsewhere;
  t.equal(gates.length, 2, 'what touches the same bytes waits for the old one to end');
  gates[0].release();
  await until(() => gates.length === 3);
  gates[2].release();
  await newer;
  t.equal(bytes[4096], 2);
  t.equal(bytes[4000 + 4096], 1);
});

t.test('what waits behind a call that never ends goes with its connection', async (t) => {
  const { gates, device } = gated(t);
  const { connect, server } = await running(t, device);
  const first = await connect();
  first.write(0, Buffer.alloc(4096)).catch(() => undefined);
  await until(() => gates.length === 1);
  first.destroy();
  const second = await connect();
  const waits = second.write(0, Buffer.alloc(4096));
  t.same(await second.read(0, 1), Buffer.alloc(1), 'reads do not wait');
  second.destroy();
  await t.rejects(waits);
  await until(() => server.connections === 0);
  t.equal(gates.length, 1, 'it never began');
});

t.test('a write whose payload never comes whole', async (t) => {
  const { connect, server } = await running(t, ram({}));
  const client = await connect();
  const header = Buffer.alloc(28);
  header.writeUInt32BE(wire.NBD_REQUEST_MAGIC);
  header.writeUInt16BE(wire.NBD_CMD_WRITE, 6);
  header.writeUInt32BE(100_000, 24);
  client.sendRaw(Buffer.concat([header, Buffer.alloc(50_000)]));
  await until(() => server.counters.bytesIn > 50_000);
  client.destroy();
  await until(() => server.connections === 0);
  t.pass('leaves nothing behind');
});

t.test('close does not wait for a device that never answers', async (t) => {
  const { gates, device } = gated(t);
  const { connect, server } = await running(t, device);
  const client = await connect();
  const write = client.write(0, Buffer.alloc(4096));
  await until(() => gates.length === 1);
  const closed = server.close(1);
  await t.rejects(write);
  await closed;
  t.equal(server.connections, 0);
});

t.test('close lets what runs finish', async (t) => {
  const { gates, device, bytes } = gated(t);
  const { connect, server } = await running(t, device);
  const client = await connect();
  const write = client.write(0, Buffer.alloc(4096, 5));
  await until(() => gates.length === 1);
  const closed = server.close();
  gates[0].release();
  await write;
  await closed;
  t.equal(bytes[0], 5);
});
