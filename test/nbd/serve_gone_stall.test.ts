/**
 * A device that stood still, and a client that left meanwhile and sent its WRITEs again over another connection, as Linux
 * does at a timeout: what of the old connection was not yet with the device must not come to it any more.
 *
 * Seen to fail without `Arrivals` asking `LookAhead.silent`; the last one without an empty write for those who stand in line.
 */
import { join } from 'node:path';
import * as wire from 'node-nbd-server';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { held, ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';
import { rawClient, rawRequest } from '../support/raw_client.ts';
import { tempFolder } from '../support/tmp.ts';

const BLOCK = 4096;
const MIB = 2 ** 20;
/** What a device takes of one connection, and what is behind that: more than fits a receive buffer. */
const TAKEN = 256;
const BEHIND = 100;

/** What is taken first waits for `gate`, and nothing else does. */
async function stuck(t: Test, where: 'unix' | 'TCP') {
  const gate = held();
  const disk = ram({ size: 16 * MIB });
  let begun = 0;
  const write = async (offset: number, from: Uint8Array): Promise<void> => {
    begun++;
    if (offset < TAKEN * BLOCK) await gate.promise;
    disk.bytes.set(from, offset);
  };
  const { server } = await running(t, { ...disk, write }, {}, where === 'TCP' ? 0 : join(tempFolder(t), 's'));
  const [address] = server.addresses;
  const connect = () =>
    NbdClient.connect({
      ...(typeof address === 'string' ? { socketPath: address } : { port: address.port }),
      maxInFlight: 1024,
    });
  const old = await connect();
  const writes = Array.from({ length: TAKEN + BEHIND }, (_, i) => old.write(i * BLOCK, Buffer.alloc(BLOCK, 1)));
  const left = Promise.allSettled(writes);
  // Half a receive buffer: with less, its socket would be read.
  await until(() => begun === TAKEN && server.counters.bytesIn > (TAKEN + 32) * (BLOCK + wire.NBD_REQUEST_BYTES));
  return { server, bytes: disk.bytes, gate, connect, old, left };
}

for (const where of ['unix', 'TCP'] as const) {
  // Before it is looked for an end, and later on. How long it takes is what this is about.
  for (const ms of [600, 2300]) {
    t.test(`${where}: a client that leaves ${ms} ms after its device got stuck`, async (t) => {
      const { server, bytes, gate, connect, old, left } = await stuck(t, where);
      await new Promise((resolve) => setTimeout(resolve, ms));
      old.destroy();
      await left;
      const other = await connect();
      const block = Buffer.alloc(BLOCK, 2);
      await Promise.all(Array.from({ length: BEHIND }, (_, i) => other.write((TAKEN + i) * BLOCK, block)));
      gate.release();
      await until(() => server.connections === 1);
      const newer = bytes.subarray(TAKEN * BLOCK, (TAKEN + BEHIND) * BLOCK);
      t.ok(newer.every((one) => one === 2));
    });
  }

  t.test(`${where}: a client that stays gets all of it done, in order`, async (t) => {
    const { bytes, gate, old, left } = await stuck(t, where);
    await new Promise((resolve) => setTimeout(resolve, 600));
    // Where something has waited: the last one of a block wins.
    const again = Array.from({ length: 400 }, (_, i) => old.write((TAKEN + i) * BLOCK, Buffer.alloc(BLOCK, 3)));
    gate.release();
    t.ok((await left).every(({ status }) => status === 'fulfilled'));
    await Promise.all(again);
    t.ok(bytes.subarray(0, TAKEN * BLOCK).every((one) => one === 1));
    t.ok(bytes.subarray(TAKEN * BLOCK, (TAKEN + 400) * BLOCK).every((one) => one === 3));
  });
}

t.test('a client that leaves while others have all the memory to look', async (t) => {
  const gate = held();
  const path = join(tempFolder(t), 's');
  const { server } = await running(t, ram({ size: 32 * MIB, write: () => gate.promise }), {}, path);
  const payload = Buffer.alloc(MIB / 16);
  const request = Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 1, 0, payload.length), payload]);
  const sends = async () => {
    const { socket } = await rawClient(t, path, 'ram');
    const state = { socket, taken: 0 };
    // As its kernel takes them.
    const more = (): void => {
      state.taken += request.length;
      if (state.taken < 16 * MIB && !socket.destroyed) socket.write(request, more);
    };
    socket.write(request, more);
    return state;
  };
  const others = await Promise.all(Array.from({ length: 5 }, sends));
  await until(() => others.every(({ taken }) => taken > 12 * MIB));
  const leaver = await sends();
  await until(() => leaver.taken > 1.1 * MIB);
  leaver.socket.destroy();
  await until(() => server.connections === 5);
  t.ok(others.every(({ socket }) => !socket.destroyed));
});
