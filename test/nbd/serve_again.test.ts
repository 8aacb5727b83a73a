/**
 * One device that is served more than once: by two servers at a time, or by one after another, whose calls have outlived it.
 * The order of its changes is the device's.
 *
 * Seen to fail with calls that each server keeps by itself.
 */
import { type ByteDevice, NbdClient, NbdServer, type ServerOptions, serve } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { held, ram } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';

/** A device whose first write waits for `gate`. */
function stuckOnce() {
  const gate = held();
  const disk = ram({});
  let begun = 0;
  let running = 0;
  let most = 0;
  const write = async (offset: number, from: Uint8Array): Promise<void> => {
    most = Math.max(most, ++running);
    if (begun++ === 0) await gate.promise;
    disk.bytes.set(from, offset);
    running--;
  };
  return { ...disk, write, gate, begun: () => begun, most: () => most };
}

async function served(t: Test, device: ByteDevice, options: ServerOptions = {}) {
  const server = await serve(device, 0, options);
  t.teardown(() => server.close(0));
  const client = await NbdClient.connect({ port: server.port, export: 'ram' });
  t.teardown(() => client.destroy());
  return { server, client };
}

t.test('a call that outlived its server does not land over a newer write of the next one', async (t) => {
  const device = stuckOnce();
  const first = await served(t, device);
  const old = t.rejects(first.client.write(0, Buffer.alloc(4096, 1)));
  await until(() => device.begun() === 1);
  await first.server.close(0);
  await old;
  const { client } = await served(t, device);
  await client.write(8192, Buffer.alloc(4096, 2));
  const newer = client.write(0, Buffer.alloc(4096, 2));
  t.same(await client.read(8192, 1), Buffer.from([2]), 'what is elsewhere does not wait');
  t.equal(device.begun(), 2, 'what is on the same bytes does');
  device.gate.release();
  await newer;
  t.same([device.bytes[0], device.bytes[4095]], [2, 2]);
});

t.test('two servers at a time change the same bytes one after another', async (t) => {
  const device = stuckOnce();
  const [one, other] = [await served(t, device), await served(t, device)];
  const first = one.client.write(0, Buffer.alloc(4096, 1));
  await until(() => device.begun() === 1);
  const second = other.client.write(2048, Buffer.alloc(4096, 2));
  // By the time of its answer the server has taken in what was sent before it.
  t.same(await other.client.read(0, 1), Buffer.alloc(1));
  const third = one.client.write(4096, Buffer.alloc(1024, 3));
  await one.client.read(0, 1);
  t.equal(device.begun(), 1);
  device.gate.release();
  await Promise.all([first, second, third]);
  t.equal(device.most(), 1);
  t.same(
    [0, 2048, 4096, 5120].map((at) => device.bytes[at]),
    [1, 2, 3, 2],
  );
});

t.test('each server tells its own of what went wrong', async (t) => {
  const told: string[] = [];
  const device = ram({
    write: (_offset: number, from: Uint8Array) => {
      throw new Error(`no ${from[0]}`);
    },
  });
  const one = await served(t, device, { onError: (error) => told.push(`one: ${(error as Error).message}`) });
  const other = await served(t, device, { onError: (error) => told.push(`other: ${(error as Error).message}`) });
  const silent = await served(t, device);
  for (const [i, { client }] of [one, other, silent].entries()) await t.rejects(client.write(0, Buffer.from([i])));
  t.same(told, ['one: no 0', 'other: no 1']);
});

t.test('nothing is written into a device', (t) => {
  const device = Object.freeze(ram({}));
  t.doesNotThrow(() => new NbdServer({ devices: [device] }));
  t.doesNotThrow(() => new NbdServer({ devices: [device] }), 'once more');
  t.end();
});
