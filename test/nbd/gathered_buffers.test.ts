/**
 * The buffers of READs that are gathered: all that one needs or none, in order, and back exactly once, however it ends.
 */
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { type Served, serve, until } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawClient } from '../support/raw_client.ts';

const MIB = 1024 * 1024;
const SLICE = 128 * 1024;

interface Call {
  readonly block: number;
  readonly dst: Uint8Array;
  end(): void;
}

/** Keeps the calls of `read` until they are ended, and has nothing at hand unless `now`. */
class Keeping extends RamDevice {
  now = false;
  readonly calls: Call[] = [];

  constructor() {
    super({ size: 24 * MIB });
    this.bytes.fill(7);
    this.written.fill(1);
  }

  override readNow(block: number, count: number, dst: Uint8Array, at: number): number {
    return this.now ? super.readNow(block, count, dst, at) : 0;
  }

  override read(request: wire.DeviceRequest, block: number, count: number, dst: Uint8Array, at: number): void {
    const end = (): void => {
      dst.set(this.bytes.subarray(block * BLOCK, (block + count) * BLOCK), at);
      request.settle(0);
    };
    this.calls.push({ block, dst, end });
  }

  /** Ends all calls, and those that follow from that, until `done`. */
  async endAll(done: () => boolean): Promise<void> {
    while (!done()) {
      for (const call of this.calls.splice(0)) call.end();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async answered(t: Test, all: readonly Promise<Buffer>[]): Promise<void> {
    let left = all.length;
    for (const read of all) read.then(() => left--, t.threw);
    await this.endAll(() => left === 0);
    for (const read of all) t.ok((await read).every((byte) => byte === 7));
  }
}

const simple = (served: Served) => served.connect({ structured: false, baseAllocation: false });

/** Resolves when the device was asked for nothing more for many turns; how many calls it has then. */
async function quiet(device: Keeping): Promise<number> {
  for (let same = 0, last = -1; same < 200; same++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (device.calls.length !== last) same = 0;
    last = device.calls.length;
  }
  return device.calls.length;
}

/** How many calls there are after each of `n` clients that ask for 40 blocks: what a thread has to give, if nothing is lost. */
async function stock(t: Test, n: number): Promise<number[]> {
  const device = new Keeping();
  const served = await serve(t, device);
  const held: number[] = [];
  const reads: Promise<Buffer>[] = [];
  for (let c = 0; c < n; c++) {
    const client = await served.connect();
    for (let i = 0; i < 40; i++) reads.push(client.read(i * BLOCK, BLOCK));
    held.push(await quiet(device));
  }
  await device.answered(t, reads);
  return held;
}

const ALL = [32, 64, 96, 128, 133];

t.test('a READ that needs many buffers waits for all of them, and is not passed by those that need one', async (t) => {
  const device = new Keeping();
  const served = await serve(t, device);
  const client = await simple(served);
  const reads = Array.from({ length: 30 }, (_, i) => client.read(i * BLOCK, BLOCK));
  t.equal(await quiet(device), 30);
  const large = client.read(MIB, 8 * SLICE);
  const small = client.read(8 * MIB, BLOCK);
  t.equal(await quiet(device), 30, 'two are left, which neither has');
  for (const call of device.calls.splice(0, 5)) call.end();
  t.equal(await quiet(device), 25);
  device.calls.splice(0, 1)[0].end();
  // Two slices are what a turn allows.
  t.same((await quiet(device)) - 24, 2, 'now it has its eight');
  t.same(
    device.calls.slice(24).map(({ block }) => block * BLOCK),
    [MIB, MIB + SLICE],
  );
  device.calls.splice(0, 1)[0].end();
  await quiet(device);
  t.equal(device.calls.at(-1)!.block * BLOCK, 8 * MIB, 'and the small one the next');
  await device.answered(t, [...reads, large, small]);
  t.same(await stock(t, 5), ALL);
});

t.test('a further READ of a connection waits where the pool has some of its buffers, and not all', async (t) => {
  const device = new Keeping();
  Object.assign(device, { readNow: undefined });
  const served = await serve(t, device);
  const reads: Promise<Buffer>[] = [];
  for (let c = 0; c < 4; c++) {
    const client = await simple(served);
    for (let n = 0; n < 4; n++) reads.push(client.read(n * MIB, MIB));
  }
  t.equal(await quiet(device), 4 * 32, 'of which one is of each connection, and 124 of the pool of 128');
  const client = await simple(served);
  reads.push(client.read(0, BLOCK));
  t.equal(await quiet(device), 129);
  reads.push(client.read(MIB, 5 * SLICE));
  t.equal(await quiet(device), 129);
  await device.answered(t, reads);
  t.same(await stock(t, 5), ALL);
});

t.test('a connection without a buffer is given what its READ needs, whatever others hold', async (t) => {
  const device = new Keeping();
  // All slices at once, as of a device by bytes.
  Object.assign(device, { readNow: undefined });
  const served = await serve(t, device);
  const reads: Promise<Buffer>[] = [];
  for (let c = 1; c <= 8; c++) {
    const client = await simple(served);
    reads.push(client.read(1, 4 * MIB), client.read(4 * MIB, 2 * SLICE), client.read(0, BLOCK));
    t.equal(await quiet(device), 33 * c, 'and no more than that');
  }
  await device.answered(t, reads);
  t.same(await stock(t, 5), ALL);
});

t.test('a connection that ends while slices are with the device: its buffers come back when those do', async (t) => {
  const device = new Keeping();
  Object.assign(device, { readNow: undefined });
  const served = await serve(t, device);
  const client = await simple(served);
  const lost = [client.read(0, 3 * MIB), client.read(4 * MIB, 8 * SLICE), client.read(8 * MIB, 8 * SLICE)];
  t.equal(await quiet(device), 32, 'the third waits for buffers');
  const old = device.calls.splice(0);
  for (const call of old.splice(0, 5)) call.end();
  for (const read of lost) read.catch(() => undefined);
  client.destroy();
  await quiet(device);
  // Of both READs slices are still to come.
  for (const [call] of [old.splice(0, 1), old.splice(-1)]) call.end();
  const other = await simple(served);
  const read = other.read(0, MIB);
  t.equal(await quiet(device), 8);
  const theirs = new Set(old.map(({ dst }) => dst.buffer));
  t.notOk(
    device.calls.some(({ dst }) => theirs.has(dst.buffer)),
    'nobody has a buffer that the device may still fill',
  );
  t.equal(served.ends, 0);
  for (const call of old) call.end();
  await served.ended(1);
  await device.answered(t, [read]);
  t.same(await stock(t, 5), ALL);
});

t.test('a connection that ends while a READ waits for room, or for its turn', async (t) => {
  const device = new Keeping();
  device.now = true;
  const served = await serve(t, device);
  const full = await rawClient(t, served.socketPath, 'ram');
  for (let n = 0; n < 8; n++) full.request(wire.NBD_CMD_READ, 0, n, n * MIB, 2 * MIB);
  let before = -1;
  for (let same = 0; same < 200; same++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (served.counters.bytesOut !== before) same = 0;
    before = served.counters.bytesOut;
  }
  t.ok(before < 16 * MIB, 'there was no room for all');
  full.socket.destroy();
  await served.ended(1);
  const busy = await rawClient(t, served.socketPath, 'ram');
  let asked = 0;
  const now = device.readNow.bind(device);
  device.readNow = (block, count, dst, at) => {
    // In the middle of what is gathered, which goes on in the next turn.
    if (++asked === 5) setImmediate(() => served.connections[1].destroy());
    return now(block, count, dst, at);
  };
  for (let n = 0; n < 4; n++) busy.request(wire.NBD_CMD_READ, 0, n, n * MIB, 4 * MIB);
  await served.ended(2);
  t.ok(asked < 4 * 32, `${asked} slices were gathered`);
  t.same(await stock(t, 5), ALL);
});

t.test('a READ that fails gives back its buffers, when the device owes it nothing more', async (t) => {
  const device = new Keeping();
  const served = await serve(t, device);
  const client = await simple(served);
  device.read = (request, block, count, dst, at) => {
    if (block === MIB / BLOCK) setImmediate(() => request.settle(wire.NBD_EIO));
    else Keeping.prototype.read.call(device, request, block, count, dst, at);
  };
  for (let n = 0; n < 50; n++) {
    const read = client.read(0, 2 * MIB).then(
      () => 'data',
      ({ code }: { code: string }) => code,
    );
    let answer = '';
    read.then((code) => {
      answer = code;
    }, t.threw);
    await device.endAll(() => answer !== '');
    if (answer !== 'EIO') t.fail(answer);
  }
  await until(() => device.calls.length === 0);
  t.same(await stock(t, 5), ALL);
});
