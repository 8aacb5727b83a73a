/**
 * What one connection may do in one turn of the event loop is bounded by what it costs, whatever it asks for, so others
 * have their turn in between.
 *
 * Seen to fail with TurnBudget.spent answering false: every bound below is exceeded.
 */
import { Duplex } from 'node:stream';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { option, u32 } from '../support/handshake_driver.ts';
import { type Served, serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawRequest } from '../support/raw_client.ts';

const MIB = 1024 * 1024;
/** As in src/nbd/server/turn_budget.ts. A connection can have one budget when it receives, and one at the end of the turn. */
const UNITS = 2 * 512;
const MAX_BLOCKS = UNITS / 8;
const MAX_RUNS = UNITS * 4;
const MAX_SCANNED = UNITS * 4096;
/** What was begun is done: a slice of a read, an answer's blocks or runs. */
const SLICE_BLOCKS = 33;
const ANSWER_RUNS = 4097;
const ANSWER_SCAN = 2 ** 18;

/** A device that adds up what it was asked for, and keeps the most that fell into one turn. */
class CountingDevice extends RamDevice {
  most = { blocks: 0, runs: 0, scanned: 0 };
  total = { blocks: 0, runs: 0, scanned: 0 };
  runLength = Number.POSITIVE_INFINITY;
  #turn = { blocks: 0, runs: 0, scanned: 0 };
  #counting = true;

  constructor(o: Partial<wire.ExportInfo>) {
    super({ size: 40 * MIB });
    Object.assign(this.info, o);
    const tick = (): void => {
      for (const key of ['blocks', 'runs', 'scanned'] as const) {
        this.most[key] = Math.max(this.most[key], this.#turn[key]);
        this.#turn[key] = 0;
      }
      if (this.#counting) setImmediate(tick);
    };
    tick();
  }

  stop(): void {
    this.#counting = false;
  }

  #count(key: 'blocks' | 'runs' | 'scanned', n: number): void {
    this.#turn[key] += n;
    this.total[key] += n;
  }

  override write(request: wire.DeviceRequest, block: number, src: Uint8Array, at: number): number {
    this.#count('blocks', 1);
    return super.write(request, block, src, at);
  }

  override readNow(block: number, count: number, dst: Uint8Array, at: number): number {
    const n = super.readNow(block, count, dst, at);
    this.#count('blocks', n);
    return n;
  }

  override zero(request: wire.DeviceRequest, offset: number, length: number, noHole: boolean): void {
    // A block of which a part becomes zero is read, and stored again.
    const [first, last] = [Math.floor(offset / BLOCK), Math.floor((offset + length) / BLOCK)];
    const ragged = [offset % BLOCK !== 0, (offset + length) % BLOCK !== 0 && !(first === last && offset % BLOCK !== 0)];
    this.#count('blocks', ragged.filter(Boolean).length);
    super.zero(request, offset, length, noHole);
  }

  override extent(block: number, end: number, into: wire.DeviceExtent): wire.DeviceExtent {
    into.end = Math.min(end, block + this.runLength);
    into.status = Math.floor(block / this.runLength) % 2 === 1 ? 3 : 0;
    this.#count('runs', 1);
    this.#count('scanned', into.end - block);
    return into;
  }
}

async function counted(
  t: Test,
  o: Partial<wire.ExportInfo> = {},
  tcp = false,
): Promise<{ device: CountingDevice; served: Served }> {
  const device = new CountingDevice(o);
  t.teardown(() => device.stop());
  return { device, served: await serve(t, device, { tcp }) };
}

t.test('small reads', async (t) => {
  const { device, served } = await counted(t);
  const client = await served.connect({ structured: false, baseAllocation: false, maxInFlight: 5000 });
  await Promise.all(Array.from({ length: 5000 }, (_, n) => client.read((n % 1000) * BLOCK, BLOCK)));
  t.equal(device.total.blocks, 5000);
  t.ok(device.most.blocks <= MAX_BLOCKS, `${device.most.blocks} blocks in a turn`);
});

for (const [name, others] of [
  ['at once', 'now'],
  ['by way of the device', 'soon'],
] as const) {
  t.test(`reads of 32 MiB, ${name}`, async (t) => {
    const { device, served } = await counted(t);
    const client = await served.connect();
    device.others = others;
    const late = Array.from({ length: 2 }, () => client.read(0, 32 * MIB));
    if (others === 'soon') await until(() => device.reads > 0);
    device.others = 'now';
    for (const data of await Promise.all(late)) t.equal(data.length, 32 * MIB);
    t.ok(device.most.blocks <= MAX_BLOCKS + 2 * SLICE_BLOCKS, `${device.most.blocks} blocks in a turn`);
  });
}

for (const [length, whole] of [
  [256 * 1024, 64],
  [4 * MIB, 0],
] as const) {
  t.test(`simple reads of ${length} bytes`, async (t) => {
    const { device, served } = await counted(t);
    const client = await served.connect({ structured: false, baseAllocation: false });
    const n = (32 * MIB) / length;
    const all = await Promise.all(Array.from({ length: n }, (_, i) => client.read(i * length, length)));
    t.equal(all.length, n);
    t.equal(device.total.blocks, 32 * 256);
    // One that fits into a chunk of the outbox is copied there as a whole.
    t.ok(
      device.most.blocks <= MAX_BLOCKS + 2 * Math.max(whole, SLICE_BLOCKS),
      `${device.most.blocks} blocks in a turn`,
    );
  });
}

t.test('a gathered read to a client that takes all at once', async (t) => {
  const length = 4 * MIB;
  const device = new RamDevice();
  Object.assign(device, { readNow: undefined });
  device.others = 'held';
  const server = new wire.NbdServer({ devices: [device] });
  let [turn, most, total] = [0, 0, 0];
  const stream = new Duplex({
    read: () => undefined,
    write(bytes: Buffer, _encoding, done) {
      turn += bytes.length;
      total += bytes.length;
      done();
    },
  });
  server.accept(stream);
  // Its flags, the export, and the request.
  stream.push(u32(3));
  stream.push(option(wire.NBD_OPT_EXPORT_NAME, 'ram'));
  stream.push(rawRequest(wire.NBD_CMD_READ, 0, 1, 0, length));
  await until(() => device.held === length / (128 * 1024));
  const whole = total + 16 + length;
  turn = 0;
  device.release(true);
  for (;;) {
    most = Math.max(most, turn);
    turn = 0;
    if (total === whole) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(most <= (UNITS / 2) * 4096 + 2 * 128 * 1024, `${most} bytes in a turn`);
  await server.close();
});

t.test('writes of 32 MiB, of which the kernel holds more than one read can take', async (t) => {
  // A socket with that much is read again and again in one turn, and all these reads share one budget.
  const { device, served } = await counted(t, {}, true);
  const client = await served.connect();
  const data = Buffer.alloc(32 * MIB, 1);
  await Promise.all([client.write(0, data), client.write(8 * MIB, data)]);
  t.ok(device.bytes.equals(Buffer.alloc(40 * MIB, 1)));
  t.ok(device.most.blocks <= MAX_BLOCKS + 2, `${device.most.blocks} blocks in a turn`);
});

for (const [name, offset, length, blocks] of [
  ['behind its begin', 512, 8192 - 512, 1],
  ['before its end', 0, 8192 - 512, 1],
  ['on both sides', 512, 8192, 2],
  ['within it', 512, 1024, 1],
] as const) {
  t.test(`zeroes of which a block is cut ${name}`, async (t) => {
    const { device, served } = await counted(t);
    const client = await served.connect({ maxInFlight: 5000 });
    await Promise.all(
      Array.from({ length: 2000 }, (_, n) => client.writeZeroes((n % 1000) * 3 * BLOCK + offset, length)),
    );
    t.equal(device.total.blocks, 2000 * blocks);
    t.ok(device.most.blocks <= MAX_BLOCKS + 2, `${device.most.blocks} blocks in a turn`);
  });
}

t.test('block status over a terabyte without a change', async (t) => {
  const { device, served } = await counted(t, { size: 2 ** 40 });
  const client = await served.connect({ maxInFlight: 5000 });
  await Promise.all(Array.from({ length: 3000 }, () => client.blockStatus(0, 2 ** 32 - BLOCK)));
  t.ok(device.most.scanned <= MAX_SCANNED + 2 * ANSWER_SCAN, `${device.most.scanned} blocks in a turn`);
});

t.test('block status over many changes', async (t) => {
  const { device, served } = await counted(t, { size: 2 ** 40 });
  device.runLength = 1;
  const client = await served.connect();
  const all = await Promise.all(Array.from({ length: 100 }, () => client.blockStatus(0, 2 ** 32 - BLOCK)));
  t.ok(all.every((extents) => extents.length === 4096));
  t.ok(device.most.runs <= MAX_RUNS + 2 * ANSWER_RUNS, `${device.most.runs} runs in a turn`);
});

t.test('while a connection floods the thread, each turn of another one comes soon', async (t) => {
  const { device, served } = await counted(t, { size: 2 ** 40 });
  const flooder = await served.connect({ maxInFlight: 4000 });
  let left = 4000;
  const flood = Array.from({ length: left }, () => flooder.blockStatus(0, 2 ** 32 - BLOCK).then(() => left--));
  const victim = await served.connect();
  // The reply may need a turn of its own, and so may the client that waits for it in this same thread.
  const turns = 6;
  for (let n = 0; n < 20; n++) {
    const before = device.total.scanned;
    await victim.read(n * BLOCK, BLOCK);
    const between = device.total.scanned - before;
    if (between > turns * (MAX_SCANNED + 2 * ANSWER_SCAN)) t.fail(`${between} blocks were looked at before read ${n}`);
  }
  t.ok(left > 0, 'the flood is not over yet');
  await Promise.all(flood);
});

t.test('many connections that flood the thread together take not much longer turns than two', async (t) => {
  const { device, served } = await counted(t);
  const many = 32;
  const requests = 3000;
  let left = many * requests;
  const flooders = await Promise.all(Array.from({ length: many }, () => served.connect({ maxInFlight: requests })));
  const flood = flooders.flatMap((one) =>
    Array.from({ length: requests }, (_, n) => one.read((n % 1000) * BLOCK, BLOCK).then(() => left--)),
  );
  const victim = await served.connect();
  const between: number[] = [];
  for (let n = 0; n < 15; n++) {
    const before = device.total.blocks;
    await victim.read(n * BLOCK, BLOCK);
    between.push(device.total.blocks - before);
  }
  t.ok(left > 0, 'the flood is not over yet');
  const median = between.sort((a, b) => a - b)[7];
  // Each has at least 64 units, of which a read and its block take nine.
  t.ok(median <= 4 * many * 8, `${median} blocks before each read`);
  await Promise.all(flood);
});
