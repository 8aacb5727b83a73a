/**
 * After a long pause a TCP connection's end may stand behind bytes for which there was no room, on the other side of the
 * wire. They come in first, in more than one go, and a lane that went on in between would publish what is old.
 *
 * Seen to fail without Arrivals.catchUp(), and with one that takes what there is just once; the later ones with one that
 * looks until nothing comes, with an inbox that takes 12 MiB anew for each look, and with one that keeps them.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
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

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

interface Memory {
  readonly ref: WeakRef<ArrayBufferLike>;
  readonly bytes: number;
}

interface Paused {
  readonly device: RamDevice;
  readonly client: RawClient;
  readonly taken: () => number;
  /** Where the bytes were put, one for each memory. */
  readonly memory: Memory[];
  readonly ended: (n: number) => Promise<void>;
}

/**
 * A WRITE waits, the receive buffer behind it is full, and that for long. The wire is played: it brings `pieces` one by one,
 * each a while after the one before was taken, and then the end, if it `ends`.
 */
async function paused(t: Test, pieces: Buffer[], ends = true): Promise<Paused> {
  const device = new RamDevice({ size: 64 * MIB });
  let taken = 0;
  let closed = false;
  let arrived: Buffer | null = pieces.shift() ?? null;
  const memory: Memory[] = [];
  const played = (real: wire.ConnectionFence): wire.ConnectionFence => ({
    ...real,
    peerClosed: () => closed,
    peek: () => 0,
    receive(into) {
      if (arrived === null) return -11;
      const n = Math.min(into.length, arrived.length);
      into.set(arrived.subarray(0, n));
      const { buffer } = into;
      const known = memory.some(({ ref }) => ref.deref() === buffer);
      if (!known) memory.push({ ref: new WeakRef(buffer), bytes: buffer.byteLength });
      taken += n;
      arrived = n < arrived.length ? arrived.subarray(n) : null;
      if (arrived === null) {
        setTimeout(() => {
          arrived = pieces.shift() ?? null;
          closed = ends && arrived === null;
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
  return { device, client, taken: () => taken, memory, ended };
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
  gc();
  const { arrayBuffers } = process.memoryUsage();
  device.release();
  await until(() => device.written[1000] === 1);
  t.ok(taken() > CATCH_UP_BYTES - INBOX_BYTES - 64 * 1024, `${taken()} bytes`);
  t.ok(taken() <= CATCH_UP_BYTES, `${taken()} bytes`);
  // What it grew out of on the way is freed by a thread that may come later than the collection.
  await until(() => {
    gc();
    return process.memoryUsage().arrayBuffers - arrayBuffers < 1.5 * CATCH_UP_BYTES;
  });
  client.socket.destroy();
});

t.test('what is taken in has memory for as much as it is, and no longer than it is there', async (t) => {
  // Few looks, and more than fits a receive buffer: enough that taking all there could be would show.
  const { device, client, memory } = await paused(t, Array(4).fill(Buffer.alloc(150_000, 1)), false);
  device.release();
  client.socket.write(Buffer.alloc(8192 * BLOCK - 4 * 150_000 - (INBOX_BYTES - 20 * 1024), 1));
  await until(() => device.written[8191] === 1);
  const bytes = memory.reduce((sum, one) => sum + one.bytes, 0);
  t.ok(bytes < 4 * MIB, `${bytes} bytes`);
  await client.take(16);
});

t.test('and the memory is given back while the client is silent', async (t) => {
  const { device, memory } = await paused(t, [Buffer.alloc(2 * CATCH_UP_BYTES, 1)], false);
  device.release();
  await until(() => device.written[CATCH_UP_BYTES / BLOCK - 2] === 1);
  t.ok(memory.some(({ bytes }) => bytes === CATCH_UP_BYTES));
  await until(() => {
    gc();
    return memory.every(({ ref, bytes }) => bytes <= INBOX_BYTES || ref.deref() === undefined);
  });
});

t.test('the socket goes on where a full catch-up has ended', async (t) => {
  const device = new RamDevice({ size: 64 * MIB });
  let taken = 0;
  const played = (real: wire.ConnectionFence): wire.ConnectionFence => ({
    ...real,
    // Up to the bound, with the 64 KiB that were there before.
    receive(into) {
      const n = Math.min(into.length, CATCH_UP_BYTES - 96 * 1024 - taken);
      into.fill(1, 0, n);
      taken += n;
      return n === 0 ? -11 : n;
    },
  });
  const { socketPath } = await serve(t, device, { fence: played });
  const client = await rawClient(t, socketPath, 'ram');
  await new Promise((resolve) => setTimeout(resolve, STALE_AFTER_MS + 50));
  const head = rawRequest(wire.NBD_CMD_WRITE, 0, 1, 0, 16 * MIB);
  client.socket.write(Buffer.concat([head, Buffer.alloc(64 * 1024, 1)]));
  await until(() => device.written[2500] === 1);
  const left = 16 * MIB - 64 * 1024 - taken;
  client.socket.write(Buffer.alloc(left, 2));
  await client.take(16);
  const bytes = Buffer.alloc(16 * MIB, 1);
  bytes.fill(2, bytes.length - left);
  t.ok(device.bytes.subarray(0, bytes.length).equals(bytes));
});

t.test('a client that goes on sending is alive, and waits for no more than ten looks', async (t) => {
  const device = new RamDevice();
  let looks = 0;
  let gave = false;
  const played = (real: wire.ConnectionFence): wire.ConnectionFence => ({
    ...real,
    receive(into) {
      gave = !gave;
      if (!gave) return -11;
      looks++;
      into.fill(1, 0, 512);
      return 512;
    },
  });
  const { socketPath } = await serve(t, device, { fence: played });
  const client = await rawClient(t, socketPath, 'ram');
  await new Promise((resolve) => setTimeout(resolve, STALE_AFTER_MS + 50));
  client.request(wire.NBD_CMD_WRITE, 0, 1, 0, 64 * 1024, Buffer.alloc(64 * 1024, 1));
  client.request(wire.NBD_CMD_WRITE, 0, 2, MIB, MIB);
  await client.take(16);
  t.ok(looks > 1 && looks <= 10, `${looks} looks`);
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
