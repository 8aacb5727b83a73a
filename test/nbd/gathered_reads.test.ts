/**
 * READs of several slices whose reply is a simple one. It can tell an error only in front of its payload, so nothing of it
 * goes out before all of it is there; and what it waits for keeps nobody else waiting.
 */
import { randomBytes } from 'node:crypto';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { type Served, serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';

const MIB = 1024 * 1024;
const SLICE = 128 * 1024;
/** As in src/nbd/server/gathered_reads.ts. */
const MOST = 4 * MIB;
const SIZE = 24 * MIB;

/** Full of what is no zero; blocks from `awayFrom` on are not at hand, and each in `failing` is an error. */
class PartlyThere extends RamDevice {
  awayFrom = Number.POSITIVE_INFINITY;

  constructor() {
    super({ size: SIZE });
    this.bytes.set(randomBytes(SIZE));
    this.written.fill(1);
  }

  override readNow(block: number, count: number, dst: Uint8Array, at: number): number {
    let n = 0;
    while (n < count && block + n < this.awayFrom && super.readNow(block + n, 1, dst, at + n * BLOCK) === 1) n++;
    return n;
  }

  failOn(blocks: readonly number[]): void {
    this.failing = (op, block) => (op === 'read' && blocks.includes(block) ? wire.NBD_EIO : 0);
  }
}

async function simple(t: Test, device: PartlyThere) {
  const served = await serve(t, device);
  return { served, client: await simpleClient(served) };
}

const simpleClient = (served: Served) => served.connect({ structured: false, baseAllocation: false });

function check(t: Test, device: RamDevice, offset: number, data: Buffer): void {
  t.ok(data.equals(device.bytes.subarray(offset, offset + data.length)), `${data.length} bytes at ${offset}`);
}

for (const others of ['now', 'soon'] as const) {
  for (const [slices, bad] of [
    [2, 1],
    [8, 4],
    [32, 31],
  ]) {
    t.test(`slice ${bad} of ${slices} fails, ${others}: EIO, and the connection lives on`, async (t) => {
      const device = new PartlyThere();
      device.others = others;
      device.failOn([(bad * SLICE) / BLOCK]);
      const { served, client } = await simple(t, device);
      const before = served.counters.bytesOut;
      await t.rejects(client.read(0, slices * SLICE), { code: 'EIO' });
      t.equal(served.counters.bytesOut - before, 16, 'nothing but the error went out');
      check(t, device, 0, await client.read(0, bad * SLICE));
      await client.write(BLOCK, Buffer.alloc(BLOCK, 9));
      await client.disconnect();
    });
  }
}

t.test('what fits into one slice, but for where it begins, is gathered too', async (t) => {
  const device = new PartlyThere();
  device.failOn([SLICE / BLOCK]);
  const { client } = await simple(t, device);
  await t.rejects(client.read(1, SLICE), { code: 'EIO' });
  check(t, device, 0, await client.read(0, SLICE));
});

t.test('what is at hand and fits into a chunk of the outbox needs no buffer', async (t) => {
  const device = new PartlyThere();
  const { client } = await simple(t, device);
  device.others = 'held';
  const reads = Array.from({ length: 32 }, (_, n) => client.read(n * BLOCK, BLOCK));
  await until(() => device.held === 32);
  device.others = 'now';
  check(t, device, MIB, await client.read(MIB, 2 * SLICE));
  device.release();
  await Promise.all(reads);
});

t.test('a slice that never comes keeps its own READ waiting, and nothing else', async (t) => {
  const device = new PartlyThere();
  const { client } = await simple(t, device);
  device.awayFrom = SLICE / BLOCK;
  const held: (() => void)[] = [];
  device.read = (request, block, count, dst, at) => {
    held.push(() => {
      dst.set(device.bytes.subarray(block * BLOCK, (block + count) * BLOCK), at);
      request.settle(0);
    });
  };
  const slow = client.read(0, 8 * SLICE);
  await until(() => held.length > 0);
  device.awayFrom = Number.POSITIVE_INFINITY;
  await client.write(100 * BLOCK, Buffer.alloc(BLOCK, 3));
  check(t, device, 64 * BLOCK, await client.read(64 * BLOCK, 3 * MIB));
  await client.flush();
  await client.trim(4 * MIB, BLOCK);
  let done = false;
  slow.then(() => {
    done = true;
  }, t.threw);
  while (!done) {
    for (const go of held.splice(0)) go();
    await new Promise((resolve) => setImmediate(resolve));
  }
  check(t, device, 0, await slow);
});

t.test('the slices of a READ are asked for at once, and those of the next ones too', async (t) => {
  const device = new PartlyThere();
  // One that has nothing at hand, as those by bytes.
  const { readNow: _, ...methods } = { readNow: null };
  Object.assign(device, methods, { readNow: undefined });
  device.others = 'held';
  const { client } = await simple(t, device);
  const reads = [0, 1, 2, 3].map((n) => client.read(n * MIB, MIB));
  await until(() => device.held === 32);
  // No further one has a buffer until they are there, and it does not take what it can get of them.
  const fifth = client.read(4 * MIB, MIB);
  await client.write(SIZE - BLOCK, Buffer.alloc(BLOCK, 1));
  t.equal(device.held, 32);
  device.release(true);
  for (const [n, read] of reads.entries()) check(t, device, n * MIB, await read);
  await until(() => device.held === 8);
  device.release();
  check(t, device, 4 * MIB, await fifth);
});

t.test('an error is told when all that was asked for has ended', async (t) => {
  const device = new PartlyThere();
  Object.assign(device, { readNow: undefined });
  const { client } = await simple(t, device);
  const calls: wire.DeviceRequest[] = [];
  device.read = (request) => calls.push(request);
  let answer = '';
  const read = client.read(0, 4 * SLICE).catch((error: { code: string }) => {
    answer = error.code;
  });
  await until(() => calls.length === 4);
  calls[2].settle(wire.NBD_ENOSPC);
  calls[0].settle(0);
  calls[3].settle(wire.NBD_EIO);
  await client.write(SIZE - BLOCK, Buffer.alloc(BLOCK, 1));
  t.equal(answer, '', 'a buffer is still with the device');
  calls[1].settle(0);
  await read;
  t.equal(answer, 'ENOSPC', 'the first error');
});

t.test('any offset and length up to 4 MiB, at hand or not, in any mixture', async (t) => {
  const device = new PartlyThere();
  const { client } = await simple(t, device);
  const ranges = [
    [0, SLICE],
    [0, SLICE + 1],
    [1, SLICE],
    [4095, SLICE + 2],
    [BLOCK - 1, 2 * SLICE + 1],
    [512, 2 * SLICE],
    [512, MIB],
    [0, MOST],
    [1, MOST],
    [4095, MOST],
    [3 * BLOCK - 1, MOST - 1],
    [SIZE - MOST, MOST],
    [SIZE - MIB - 1, MIB + 1],
    [7, MOST + 1],
    [0, 8 * MIB],
  ];
  const at = (block: number) => (block * 7919) % 97 < 10;
  const now = RamDevice.prototype.readNow;
  for (const mixture of ['all', 'none', 'some'] as const) {
    device.others = 'now';
    device.readNow = (block, count, dst, to) => {
      let n = 0;
      while (n < count && (mixture === 'all' || (mixture === 'some' && !at(block + n)))) n++;
      return now.call(device, block, n, dst, to);
    };
    await Promise.all(
      ranges.map(async ([offset, length]) => check(t, device, offset, await client.read(offset, length))),
    );
  }
});
