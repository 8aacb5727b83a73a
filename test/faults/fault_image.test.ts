// The faults of an image, over an image in memory: what each leaves there, and what the caller is told.

import t from 'tap';
import { Gate } from '#src/faults/gate.js';
import type { FaultRule } from '#src/faults/rules.js';
import { createTable, eventsAfter } from '#src/faults/table.js';
import { FLAG_GIVEN_UP, FLAG_SYNC_FAILED } from '#src/image/descriptor_image.js';
import { FaultImage } from '#src/image/fault_image.js';
import type { Image, ImageDone } from '#src/image/image.js';
import { steadyMillis } from '#src/os/clock.js';
import { EIO, ENOSPC } from '#src/os/errno.js';
import { NODE_LOOP } from '#src/os/loop.js';

const PAGE = 4096;
const pageOf = (byte: number): Uint8Array => new Uint8Array(PAGE).fill(byte);

class MemoryImage implements Image {
  readonly direct = true;
  readonly punches = true;
  readonly pages = new Map<number, Uint8Array>();
  syncs = 0;
  read(slot: number, count: number, dst: Uint8Array, at: number, done: ImageDone): void {
    for (let i = 0; i < count; i++) dst.set(this.pages.get(slot + i) ?? pageOf(0), at + i * PAGE);
    setImmediate(done, 0);
  }
  write(slot: number, pages: readonly Uint8Array[], done: ImageDone): void {
    for (const [i, page] of pages.entries()) this.pages.set(slot + i, page.slice());
    setImmediate(done, 0);
  }
  punch(slot: number, count: number, done: ImageDone): void {
    for (let i = 0; i < count; i++) this.pages.delete(slot + i);
    setImmediate(done, 0);
  }
  zero(slot: number, count: number, done: ImageDone): void {
    this.punch(slot, count, done);
  }
  sync(done: ImageDone): void {
    this.syncs++;
    setImmediate(done, 0);
  }
  close(): void {}
}

function begin(site: FaultRule['site'], action: string, over: Partial<FaultRule> = {}) {
  const table = createTable(steadyMillis());
  const rule: FaultRule = {
    id: 'f',
    site,
    action,
    class: 'may-lose',
    match: { x: null, memcg: null, slots: null, connection: null, command: null, age: null },
    when: { probability: 100, interval: 1, times: -1, space: 0, nth: null },
    verbose: 0,
    at: 0,
    for: null,
    with: {},
    ...over,
  };
  const gate = new Gate({ plan: { seed: 1, digest: '', faults: [rule] }, table }, () => true);
  const flags = new Int32Array(2);
  const memory = new MemoryImage();
  return { memory, flags, table, image: new FaultImage(memory, { gate, x: 0, flags, loop: NODE_LOOP }) };
}

const ended = (call: (done: ImageDone) => void): Promise<number> => new Promise((resolve) => call(resolve));

t.test('an error is told, and nothing has happened', async (t) => {
  for (const [action, errno] of [
    ['EIO', EIO],
    ['ENOSPC', ENOSPC],
  ] as const) {
    const { image, memory } = begin('image.write', action);
    t.equal(await ended((done) => image.write(1, [pageOf(7)], done)), errno);
    t.equal(memory.pages.size, 0);
    t.equal(await ended((done) => image.punch(1, 1, done)), 0, 'other calls are what they are');
  }
});

t.test('a write that is lost succeeds', async (t) => {
  const { image, memory } = begin('image.write', 'lost');
  t.equal(await ended((done) => image.write(1, [pageOf(7)], done)), 0);
  t.equal(memory.pages.size, 0);
});

t.test('a write that is torn or short is there up to some sector, and what was there before follows', async (t) => {
  for (const [action, errno] of [
    ['torn', 0],
    ['short', EIO],
  ] as const) {
    const { image, memory } = begin('image.write', action);
    for (let slot = 0; slot < 30; slot += 3) {
      for (let i = 0; i < 3; i++) memory.pages.set(slot + i, pageOf(1));
      t.equal(await ended((done) => image.write(slot, [pageOf(2), pageOf(2), pageOf(2)], done)), errno);
      const now = Buffer.concat([0, 1, 2].map((i) => memory.pages.get(slot + i)!));
      const end = now.indexOf(1);
      t.ok(end > 0 && end % 512 === 0, `torn at ${end}`);
      t.equal(now.indexOf(2, end), -1);
    }
  }
});

t.test('a misdirected write hits a slot that was written before, and says which', async (t) => {
  const { image, memory, table } = begin('image.write', 'misdirected');
  t.equal(await ended((done) => image.write(1, [pageOf(1)], done)), 0);
  t.strictSame(memory.pages.get(1), pageOf(1), 'there is none yet');
  t.equal(await ended((done) => image.write(5, [pageOf(5), pageOf(6)], done)), 0);
  t.strictSame(memory.pages.get(1), pageOf(5));
  t.notOk(memory.pages.has(5));
  t.strictSame(memory.pages.get(6), pageOf(6));
  t.match(eventsAfter(table, 0).events, [
    { slot: 5, count: 2 },
    { slot: 1, count: 1 },
  ]);
});

t.test('what hangs goes on when it is healed, or when its time is over', async (t) => {
  const held = begin('image.write', 'hang');
  const done = ended((finish) => held.image.write(1, [pageOf(7)], finish));
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(held.memory.pages.size, 0);
  held.image.heal();
  t.equal(await done, 0);
  t.equal(held.memory.pages.size, 1);
  const timed = begin('image.read', 'hang', { for: 30 });
  t.equal(await ended((finish) => timed.image.read(1, 1, pageOf(9), 0, finish)), 0);
});

t.test('latency is before the call, and nothing else', async (t) => {
  const { image, memory } = begin('image.write', 'latency', { with: { latency: 5, jitter: 5 } });
  const done = ended((finish) => image.write(1, [pageOf(7)], finish));
  t.equal(memory.pages.size, 0);
  t.equal(await done, 0);
  t.equal(memory.pages.size, 1);
});

t.test('a sync that lies has synced nothing', async (t) => {
  const { image, memory, flags } = begin('image.sync', 'lie');
  t.equal(await ended((done) => image.sync(done)), 0);
  t.equal(memory.syncs, 0);
  t.strictSame([...flags], [0, 0]);
});

t.test('a sync that failed once has failed for good, for all who have the image open', async (t) => {
  const { image, flags } = begin('image.sync', 'once', {
    when: { probability: 100, interval: 1, times: 1, space: 0, nth: null },
  });
  t.equal(await ended((done) => image.sync(done)), EIO);
  t.equal(flags[FLAG_SYNC_FAILED], 1);
  t.equal(flags[FLAG_GIVEN_UP], 0, 'O_DIRECT has no cache that could have lost pages');
});
