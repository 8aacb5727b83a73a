/**
 * Clients of a device that does not answer: that they have gone is noticed, and those who come can be served.
 *
 * Seen to fail without reading on, with memory for that given to all who ask, some of it to each, with an end that is told before what stood in front of it was kept, without the empty
 * write, and without anybody making room.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import * as wire from 'node-nbd-server';
import { NbdClient, NbdServer } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { held, ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';
import { RamDevice } from '../support/ram_device.ts';
import { type RawClient, rawClient, rawRequest } from '../support/raw_client.ts';
import { tempFolder } from '../support/tmp.ts';

const MIB = 2 ** 20;
const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Writes that wait for `gate`. */
function stuck(size = 32 * MIB) {
  const gate = held();
  const device = ram({ size });
  const signals = new Set<AbortSignal>();
  let begun = 0;
  const write = async (offset: number, from: Uint8Array, { signal }: wire.DeviceCall): Promise<void> => {
    begun++;
    signals.add(signal);
    await gate.promise;
    device.bytes.set(from, offset);
  };
  return {
    device: { ...device, write },
    bytes: device.bytes,
    gate,
    signals,
    get begun() {
      return begun;
    },
  };
}

/** Sends as WRITEs of 64 KiB, one after another as its kernel takes them, and tells how much that was. */
function upload(client: RawClient, bytes: Uint8Array): { readonly taken: number; readonly done: Promise<void> } {
  const part = MIB / 16;
  const state = { taken: 0, done: Promise.resolve() };
  const send = async (): Promise<void> => {
    for (let at = 0; at < bytes.length && !client.socket.destroyed; at += part) {
      const payload = bytes.subarray(at, at + part);
      const request = Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 1, at, payload.length), payload]);
      await new Promise((resolve) => client.socket.write(request, resolve));
      if (!client.socket.destroyed) state.taken = at + payload.length;
    }
  };
  state.done = send();
  return state;
}

function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31) >> 7;
  return bytes;
}

async function onSocket(t: Test, device: wire.ByteDevice, options: wire.ServerOptions = {}) {
  const path = join(tempFolder(t), 's');
  const { server } = await running(t, device, options, path);
  return { server, path, connect: () => rawClient(t, path, 'ram') };
}

for (const where of ['unix', 'TCP'] as const) {
  t.test(`${where}: a client that leaves more behind than is taken in`, async (t) => {
    const { device, signals, ...state } = stuck();
    const { server } = await running(t, device, {}, where === 'TCP' ? 0 : join(tempFolder(t), 's'));
    const [address] = server.addresses;
    const client = await NbdClient.connect(
      typeof address === 'string' ? { socketPath: address } : { port: address.port },
    );
    t.equal(state.begun, 0);
    const writes = Array.from({ length: 48 }, (_, i) => client.write((i * MIB) / 4, Buffer.alloc(MIB / 4)));
    await until(() => signals.size === 1 && server.counters.bytesIn > MIB);
    await turns(20);
    client.destroy();
    await Promise.allSettled(writes);
    const [signal] = signals;
    await until(() => signal.aborted);
    await until(() => server.connections === 0);
  });
}

t.test('many clients, who together leave more behind than there is memory to look at', async (t) => {
  const { device, signals } = stuck();
  const { server, connect } = await running(t, device);
  const clients = await Promise.all(Array.from({ length: 24 }, () => connect()));
  const payload = Buffer.alloc(MIB);
  const each = (client: NbdClient, first: number) =>
    Array.from({ length: 8 }, (_, i) => client.write(((first + i) % 32) * MIB, payload));
  // Nobody's bytes are another's, or only some would begin.
  const writes = clients.flatMap((client, i) => [client.write(i * 4096, Buffer.alloc(1)), ...each(client, i + 1)]);
  const settled = Promise.allSettled(writes);
  await until(() => signals.size === 24 && server.counters.bytesIn > 24 * MIB);
  for (const client of clients) client.destroy();
  await settled;
  await until(() => server.connections === 0);
  t.ok([...signals].every(({ aborted }) => aborted));
});

t.test('a client that goes on sending for long before it leaves', async (t) => {
  const { device, signals } = stuck();
  const { server, connect } = await onSocket(t, device);
  const client = await connect();
  const sent = upload(client, noise(20 * MIB));
  await until(() => sent.taken > 13 * MIB);
  // It is stuck now, or will be after some more reads; what is looked for is that nothing more goes.
  for (let before = 0; before !== sent.taken; await new Promise((resolve) => setTimeout(resolve, 100))) {
    before = sent.taken;
  }
  t.equal(server.connections, 1);
  t.ok(sent.taken < 14 * MIB, `memory for it is bounded, and it has sent ${sent.taken}`);
  client.socket.destroy();
  await until(() => server.connections === 0);
  t.ok([...signals][0].aborted);
});

for (const when of ['before', 'after'] as const) {
  t.test(
    `what was sent is there in order, if its client said goodbye, and went ${when} the device came to it`,
    async (t) => {
      const { device, bytes, gate, signals } = stuck();
      const { server, connect } = await onSocket(t, device);
      const client = await connect();
      const expected = noise(5 * MIB);
      await upload(client, expected).done;
      client.socket.end(rawRequest(wire.NBD_CMD_DISC, 0, 2, 0, 0));
      await once(client.socket, 'finish');
      if (when === 'before') {
        client.socket.destroy();
        await turns(50);
        t.notOk([...signals][0].aborted, 'it is waited for');
      }
      gate.release();
      await until(() => server.connections === 0);
      t.ok(bytes.subarray(0, expected.length).equals(expected));
      t.equal(bytes[expected.length], 0);
    },
  );
}

t.test('a device that was stuck for a while goes on with what came meanwhile, and what comes then', async (t) => {
  const { device, bytes, gate } = stuck();
  const { connect } = await onSocket(t, device);
  const client = await connect();
  const expected = noise(8 * MIB);
  await upload(client, expected.subarray(0, 6 * MIB)).done;
  gate.release();
  const rest = rawRequest(wire.NBD_CMD_WRITE, 0, 3, 6 * MIB, 2 * MIB);
  client.socket.write(Buffer.concat([rest, expected.subarray(6 * MIB)]));
  const replies = await client.take(16 * (6 * 16 + 1));
  t.equal(replies.readUInt32BE(replies.length - 4), 3);
  t.ok(bytes.subarray(0, expected.length).equals(expected));
});

t.test('who stands still makes room, the longest first, and who is idle does not', async (t) => {
  const { device, signals } = stuck();
  const { server, connect } = await running(t, device, { maxConnections: 3, standstillMs: 0 });
  const idle = await connect();
  const still = [await connect(), await connect()];
  const answers = still.map((client, i) => client.write(i * 4096, Buffer.alloc(4096)).catch(({ code }) => code));
  await until(() => signals.size === 2);
  await t.rejects(connect(), Error, 'the first who finds no place begins the count');
  t.equal(server.refused, 1);
  const newcomer = await connect();
  t.equal(await answers[0], 'ENOTCONN');
  t.same(
    [...signals].map(({ aborted }) => aborted),
    [true, false],
  );
  await until(() => server.connections === 3);
  const another = await connect();
  t.equal(await answers[1], 'ENOTCONN');
  await t.rejects(connect(), Error, 'all others are idle');
  for (const client of [idle, newcomer, another]) t.same(await client.read(0, 1), Buffer.alloc(1));
});

t.test('who moves keeps its place', async (t) => {
  const gates: (() => void)[] = [];
  const write = (): Promise<void> => new Promise((resolve) => gates.push(resolve));
  const { connect } = await running(t, ram({ write }), { maxConnections: 1, standstillMs: 0 });
  const client = await connect();
  const writes = Array.from({ length: 4 }, (_, i) => client.write(i * 4096, Buffer.alloc(1)));
  await until(() => gates.length === 4);
  for (let i = 0; i < 4; i++) {
    await t.rejects(connect());
    gates[i]();
    await writes[i];
  }
});

t.test('a client that said goodbye to a device that never answers', async (t) => {
  const { device, signals } = stuck();
  const { server, connect } = await running(t, device, { maxConnections: 1, standstillMs: 0 });
  const client = await connect();
  client.write(0, Buffer.alloc(1)).catch(() => undefined);
  await until(() => signals.size === 1);
  const left = client.disconnect({ early: true }).catch(() => undefined);
  await t.rejects(connect());
  t.same(await (await connect()).read(0, 1), Buffer.alloc(1));
  await left;
  t.equal(server.connections, 1);
});

t.test('a device by blocks that never settles holds as many again as there are places, and no more', async (t) => {
  const device = new RamDevice();
  device.others = 'held';
  const server = new NbdServer({ devices: [device], maxConnections: 2, standstillMs: 0 });
  await server.listen(0);
  t.teardown(() => server.close(0));
  const connect = () => NbdClient.connect({ port: server.port });
  const clients: NbdClient[] = [];
  for (let i = 0; i < 20; i++) {
    const client = await connect().catch(() => null);
    if (client === null) continue;
    clients.push(client);
    client.read(0, 4096).catch(() => undefined);
    await until(() => device.held === clients.length);
  }
  t.equal(clients.length, 4);
  t.equal(server.connections, 4);
  device.release();
  await until(() => server.connections === 2);
  clients[3].destroy();
  await until(() => server.connections === 1);
  t.ok(await connect(), 'and goes on when it has settled');
});
