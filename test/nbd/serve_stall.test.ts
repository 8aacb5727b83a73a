/**
 * A thread of `NbdServer` that stood still: meanwhile a client has sent WRITEs and left, and another one, as Linux does at a
 * timeout, has sent newer ones. Both lie in sockets that were read up to then, and look as if they had come just now.
 *
 * Seen to fail without Arrivals.stood: what came first is read first or last, as the kernel tells of it, and lands so. The last one
 * without LookAhead.#received saying that the socket was found empty: who looks then asks for all the memory that there is.
 */
import { join } from 'node:path';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';
import { type RawClient, rawClient, rawRequest } from '../support/raw_client.ts';
import { tempFolder } from '../support/tmp.ts';

const BLOCK = 4096;
const MIB = 2 ** 20;
/** As in src/nbd/server/fence.ts. */
const STALE_AFTER_MS = 500;
/** What makes the thread stand still is written here. */
const STALL = 15 * MIB;

function standStill(): void {
  for (const end = performance.now() + STALE_AFTER_MS + 20; performance.now() < end; );
}

const write = (block: number, value: number): Buffer =>
  Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, value, block * BLOCK, BLOCK), Buffer.alloc(BLOCK, value)]);
const read = rawRequest(wire.NBD_CMD_READ, 0, 9, 0, BLOCK);

/** Clients of a device, one of whose calls does `meanwhile` before it returns, and takes long. */
async function stalling(t: Test, where: 'unix' | 'TCP', o: { readonly later?: boolean } = {}) {
  const disk = ram({ size: 16 * MIB });
  const state = { meanwhile: (): void => undefined };
  const store = (offset: number, from: Uint8Array): unknown => {
    if (offset !== STALL) {
      const stored = (): unknown => disk.bytes.set(from, offset);
      return o.later === true ? new Promise((resolve) => setImmediate(resolve)).then(stored) : stored();
    }
    state.meanwhile();
    standStill();
    return undefined;
  };
  const device = { ...disk, write: store };
  const { server } = await running(t, device, {}, where === 'TCP' ? 0 : join(tempFolder(t), 's'));
  const [address] = server.addresses;
  const connect = () => rawClient(t, typeof address === 'string' ? address : address.port, 'ram');
  const [old, other, stall] = await Promise.all([connect(), connect(), connect()]);
  const stands = async (meanwhile: () => void): Promise<void> => {
    state.meanwhile = meanwhile;
    stall.socket.write(write(STALL / BLOCK, 3));
    await stall.take(16);
  };
  return { server, bytes: disk.bytes, old, other, stands, connect };
}

/** Whoever is told of first by the kernel is who sent first. */
function leaveAndSendAgain(old: RawClient, other: RawClient, first: 'old' | 'other', n: number): void {
  if (first === 'other') other.socket.write(read);
  for (let i = 0; i < n; i++) old.socket.write(write(i, 1));
  old.socket.destroy();
  for (let i = n - 1; i >= 0; i--) other.socket.write(write(i, 2));
}

for (const where of ['unix', 'TCP'] as const) {
  for (const first of ['old', 'other'] as const) {
    for (const n of [1, 40]) {
      for (const later of [false, true]) {
        const name = `${where}: ${n} WRITEs of a client that has left, ${first} first, ${later ? 'promised' : 'at once'}`;
        t.test(name, async (t) => {
          const { server, bytes, old, other, stands } = await stalling(t, where, { later });
          await stands(() => leaveAndSendAgain(old, other, first, n));
          await other.take(16 * n + (first === 'other' ? 16 + BLOCK : 0));
          await until(() => server.connections === 2);
          t.equal(bytes.subarray(0, n * BLOCK).indexOf(1), -1, 'nothing old is there');
        });
      }
    }
  }

  t.test(`${where}: a client that stays gets all of it done`, async (t) => {
    const { bytes, old, other, stands } = await stalling(t, where);
    await stands(() => {
      for (let i = 0; i < 300; i++) old.socket.write(write(i, 1));
      other.socket.write(write(1000, 2));
    });
    await other.take(16);
    await old.take(300 * 16);
    t.ok(bytes.subarray(0, 300 * BLOCK).every((one) => one === 1));
    old.socket.write(write(5, 4));
    await old.take(16);
    t.equal(bytes[5 * BLOCK], 4, 'and goes on');
  });

  t.test(`${where}: what was sent before a goodbye is done`, async (t) => {
    const { server, bytes, old, stands } = await stalling(t, where);
    await stands(() => {
      for (let i = 0; i < 40; i++) old.socket.write(write(i, 1));
      old.socket.end(rawRequest(wire.NBD_CMD_DISC, 0, 2, 0, 0));
    });
    await until(() => server.connections === 2);
    t.ok(bytes.subarray(0, 40 * BLOCK).every((one) => one === 1));
  });
}

t.test('a client that has left, after more that stay than there is memory to look for the end of each', async (t) => {
  const { server, bytes, old, other, stands, connect } = await stalling(t, 'TCP');
  const stayers = await Promise.all(Array.from({ length: 20 }, connect));
  await stands(() => {
    other.socket.write(read);
    for (const [i, stayer] of stayers.entries()) stayer.socket.write(write(100 + i, 1));
    old.socket.write(write(0, 1));
    old.socket.destroy();
    other.socket.write(write(0, 2));
  });
  await other.take(16 + BLOCK + 16);
  await until(() => server.connections === 2 + stayers.length);
  t.equal(bytes[0], 2);
  for (const stayer of stayers) await stayer.take(16);
});
