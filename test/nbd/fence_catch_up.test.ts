/**
 * After a long pause a TCP connection's end may stand behind bytes for which there was no room, on the other side of the
 * wire. They come in first, in more than one go, and a lane that went on in between would publish what is old.
 *
 * Seen to fail without Arrivals.catchUp(), and with one that takes what there is just once.
 */
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { type RawClient, rawClient, rawRequest } from '../support/raw_client.ts';

const MIB = 1024 * 1024;
/** As in src/nbd: when a pause is long, how much is taken in, and the receive buffer without that. */
const STALE_AFTER_MS = 500;
const CATCH_UP_BYTES = 12 * MIB;
const INBOX_BYTES = 256 * 1024;

interface Paused {
  readonly device: RamDevice;
  readonly client: RawClient;
  readonly taken: () => number;
  readonly ended: (n: number) => Promise<void>;
}

/**
 * A WRITE waits, the receive buffer behind it is full, and that for long. The wire is played: it brings `pieces` one by one,
 * each a while after the one before was taken, and then the end.
 */
async function paused(t: Test, pieces: Buffer[]): Promise<Paused> {
  const device = new RamDevice({ size: 64 * MIB });
  let taken = 0;
  let closed = false;
  let arrived: Buffer | null = pieces.shift() ?? null;
  const played = (real: wire.ConnectionFence): wire.ConnectionFence => ({
    ...real,
    peerClosed: () => closed,
    peek: () => 0,
    receive(into) {
      if (arrived === null) return -11;
      const n = Math.min(into.length, arrived.length);
      into.set(arrived.subarray(0, n));
      taken += n;
      arrived = n < arrived.length ? arrived.subarray(n) : null;
      if (arrived === null) {
        setTimeout(() => {
          arrived = pieces.shift() ?? null;
          closed = arrived === null;
        }, 2);
      }
      return n;
    },
  });
  const { socketPath, counters, ended } = await serve(t, device, { fence: played });
  const client = await rawClient(t, socketPath, 'ram');
  device.writes = 'wait';
  const blocks = 8192;
  client.socket.write(rawRequest(wire.NBD_CMD_WRITE, 0, 1, 0, blocks * BLOCK));
  client.socket.write(Buffer.alloc(INBOX_BYTES - 20 * 1024, 1));
  await until(() => device.waiters === 1 && counters.bytesIn > INBOX_BYTES - 20 * 1024);
  // A long pause is what this is about, so there is no condition to wait for but the time.
  await new Promise((resolve) => setTimeout(resolve, STALE_AFTER_MS + 50));
  return { device, client, taken: () => taken, ended };
}

t.test('an end behind bytes that come in two goes', async (t) => {
  const { device, ended, taken } = await paused(t, [Buffer.alloc(300_000, 1), Buffer.alloc(500_000, 1)]);
  device.release();
  await ended(1);
  t.equal(taken(), 800_000);
  t.ok(
    device.written.every((one) => one === 0),
    'nothing old is written',
  );
});

t.test('no more is taken in than the bound, whatever the wire brings', async (t) => {
  const { device, client, taken } = await paused(t, [Buffer.alloc(2 * CATCH_UP_BYTES, 1)]);
  const { arrayBuffers } = process.memoryUsage();
  device.release();
  await until(() => device.written[1000] === 1);
  t.ok(taken() > CATCH_UP_BYTES - INBOX_BYTES - 64 * 1024, `${taken()} bytes`);
  t.ok(taken() < CATCH_UP_BYTES, `${taken()} bytes`);
  t.ok(process.memoryUsage().arrayBuffers - arrayBuffers < 2 * CATCH_UP_BYTES);
  client.socket.destroy();
});

t.test('a thread that stood still takes in what had no room, before it goes on', async (t) => {
  const device = new RamDevice();
  let taken = false;
  let closed = false;
  // The kernel of the client sends the rest and the end when it hears that there is room.
  const played = (real: wire.ConnectionFence): wire.ConnectionFence => ({
    ...real,
    peerClosed: () => closed,
    peek: () => 0,
    receive() {
      if (taken) return -11;
      taken = true;
      setTimeout(() => {
        closed = true;
      }, 2);
      return 4096;
    },
  });
  const { socketPath, ended } = await serve(t, device, { fence: played });
  const old = await rawClient(t, socketPath, 'ram');
  await new Promise((resolve) => setTimeout(resolve, STALE_AFTER_MS + 50));
  old.socket.write(Buffer.concat([rawRequest(wire.NBD_CMD_WRITE, 0, 1, 0, MIB), Buffer.alloc(100 * 1024, 1)]));
  await ended(1);
  t.ok(
    device.written.every((one) => one === 0),
    'nothing old is written',
  );
});
