/**
 * A thread can stand still at any place, also in the middle of what it has read: its process is stopped, or the host
 * swaps. What it still holds then may be of a connection that has ended meanwhile.
 *
 * Seen to fail with Transmission.fenced() asking the flag `behind` alone: blocks after the stall are written; and with it asking
 * only for what is older than half a second: a block of a client that has gone a moment ago is.
 */
import * as wire from 'node-nbd-server';
import t from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { type RawClient, rawClient, rawRequest } from '../support/raw_client.ts';

/** As in src/nbd/server/fence.ts. */
const STALE_AFTER_MS = 500;

const write = (n: number, blocks: number): Buffer =>
  Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 1, n * BLOCK, blocks * BLOCK), Buffer.alloc(blocks * BLOCK, 1)]);

/** Nothing else runs in this thread meanwhile. */
function standStill(): void {
  for (const end = performance.now() + STALE_AFTER_MS + 20; performance.now() < end; );
}

/** A device that asks the fence when it holds a block, as it has to; before block 2 its thread stands still. */
class StallingDevice extends RamDevice {
  atStall: () => void = () => undefined;

  override write(request: wire.DeviceRequest, block: number, src: Uint8Array, at: number): number {
    if (block === 2) this.atStall();
    if (request.fenced()) return wire.NBD_ESHUTDOWN;
    return super.write(request, block, src, at);
  }
}

async function stalled(client: RawClient, device: StallingDevice, atStall: () => void): Promise<void> {
  let done = false;
  device.atStall = () => {
    atStall();
    standStill();
    done = true;
  };
  client.socket.write(write(0, 8));
  await until(() => done);
}

t.test('a thread that stood still inside a run asks for the peer, and drops what is left', async (t) => {
  const device = new StallingDevice();
  const { socketPath, ended, counters } = await serve(t, device);
  const old = await rawClient(t, socketPath, 'ram');
  await stalled(old, device, () => old.socket.destroy());
  await ended(1);
  t.same([...device.written.subarray(0, 8)], [1, 1, 0, 0, 0, 0, 0, 0]);
  t.equal(counters.fencedUnits, 6);
});

t.test(
  'a block is dropped as soon as its peer has gone: the lane of a connection that sends it again may be quicker',
  async (t) => {
    const device = new StallingDevice();
    const { socketPath, ended, counters } = await serve(t, device);
    const old = await rawClient(t, socketPath, 'ram');
    device.atStall = () => old.socket.destroy();
    old.socket.write(write(0, 8));
    await ended(1);
    t.same([...device.written.subarray(0, 8)], [1, 1, 0, 0, 0, 0, 0, 0]);
    t.equal(counters.fencedUnits, 6);
  },
);

t.test('a peer that is still there loses nothing by it', async (t) => {
  const device = new StallingDevice();
  const { socketPath } = await serve(t, device);
  const client = await rawClient(t, socketPath, 'ram');
  await stalled(client, device, () => undefined);
  t.equal((await client.take(16)).readUInt32BE(4), 0);
  t.ok(device.written.subarray(0, 8).every((one) => one === 1));
});

t.test('one that stood still while bytes waited in the kernel takes them for old', async (t) => {
  const device = new StallingDevice();
  const { socketPath, ended } = await serve(t, device);
  const old = await rawClient(t, socketPath, 'ram');
  const other = await rawClient(t, socketPath, 'ram');
  old.socket.write(write(8, 1));
  await old.take(16);
  await stalled(other, device, () => {
    old.socket.write(write(16, 4));
    old.socket.destroy();
  });
  await ended(1);
  t.ok(device.written.subarray(16, 20).every((one) => one === 0));
});

t.test('what was left over keeps its age, though newer bytes came since', async (t) => {
  const device = new StallingDevice();
  const { socketPath, counters } = await serve(t, device);
  const client = await rawClient(t, socketPath, 'ram');
  device.writes = 'wait';
  const before = counters.bytesIn;
  client.socket.write(write(0, 2));
  await until(() => device.waiters === 1);
  // Newer bytes empty the socket again and again, so by that alone the lane would not look late.
  let sent = before + 28 + 2 * BLOCK;
  for (const end = performance.now() + STALE_AFTER_MS + 20; performance.now() < end; sent += 28) {
    client.socket.write(rawRequest(wire.NBD_CMD_CACHE, 0, 2, 0, BLOCK));
    await until(() => counters.bytesIn >= sent + 28);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.socket.destroy();
  device.release();
  await until(() => counters.fencedUnits > 0);
  t.same([...device.written.subarray(0, 2)], [0, 0]);
});
