// The hook that makes replies go wrong: each does what it says to the reply that it is for, and leaves nothing behind.

import type { Mishap, ReplyMishaps } from 'node-nbd-server';
import t from 'tap';
import { serve } from '../support/nbd_server.ts';
import { BLOCK, RamDevice } from '../support/ram_device.ts';
import { rawClient } from '../support/raw_client.ts';

const READ = 0;
const SIMPLE_REPLY = 16;
const LONG_MS = 60_000;

/** A hook that has these in store, one for each request. */
function inTurn(...mishaps: (Mishap | null)[]): ReplyMishaps {
  return { next: () => mishaps.shift() ?? null };
}

t.test('a reply that is held when its client goes is given up, and the connection ends', async (t) => {
  for (const held of [{ kind: 'delay', ms: LONG_MS }, { kind: 'behind', ms: LONG_MS }, { kind: 'never' }] as const) {
    const served = await serve(t, new RamDevice(), { mishaps: inTurn(held) });
    const client = await served.connect();
    const read = client.read(0, BLOCK);
    read.catch(() => undefined);
    while (served.counters.reads === 0) await new Promise((resolve) => setImmediate(resolve));
    client.destroy();
    await served.ended(1);
    t.ok(served.connections[0].idle, held.kind);
    await t.rejects(read);
  }
});

t.test('a client that says goodbye gets what is still held', async (t) => {
  const served = await serve(t, new RamDevice(), { mishaps: inTurn({ kind: 'delay', ms: 5 }) });
  const client = await served.connect();
  const write = client.write(0, Buffer.alloc(BLOCK, 7));
  await Promise.all([write, client.disconnect()]);
  await served.ended(1);
  t.pass();
});

t.test('the cookie of no request, one reply too many, and an error', async (t) => {
  const device = new RamDevice();
  device.bytes.fill(7, 0, BLOCK);
  const served = await serve(t, device, {
    mishaps: inTurn({ kind: 'cookie' }, { kind: 'twice' }, { kind: 'error', error: 5 }, null),
  });
  const raw = await rawClient(t, served.socketPath, 'ram');
  for (const cookie of [1, 2, 3, 4]) raw.request(READ, 0, cookie, 0, BLOCK);
  const head = async (): Promise<[number, number, number]> => {
    const bytes = await raw.take(SIMPLE_REPLY);
    return [bytes.readUInt32BE(4), bytes.readUInt32BE(8), bytes.readUInt32BE(12)];
  };
  const page = async (): Promise<void> => {
    t.strictSame(await raw.take(BLOCK), Buffer.alloc(BLOCK, 7));
  };
  const [error, high, low] = await head();
  t.strictSame([error, high !== 0, low], [0, true, 1]);
  await page();
  t.strictSame(await head(), [5, 0, 2], 'an error first, which no client takes for data');
  t.strictSame(await head(), [0, 0, 2]);
  await page();
  t.strictSame(await head(), [5, 0, 3]);
  t.strictSame(await head(), [0, 0, 4]);
  await page();
});

t.test('what is cut is whole in the end, in order, with all that was sent meanwhile', async (t) => {
  for (const where of ['header', 'middle'] as const) {
    const cut: Mishap = { kind: 'cut', where, ms: 5 };
    const served = await serve(t, new RamDevice(), { mishaps: inTurn(cut, null, cut, null, cut) });
    const raw = await rawClient(t, served.socketPath, 'ram');
    for (let cookie = 1; cookie <= 6; cookie++) raw.request(READ, 0, cookie, 0, 3);
    for (let cookie = 1; cookie <= 6; cookie++) {
      const bytes = await raw.take(SIMPLE_REPLY + 3);
      t.equal(bytes.readUInt32BE(12), cookie);
    }
  }
});

t.test('the hook may be put in and taken out while requests come', async (t) => {
  const mishaps: ReplyMishaps = { next: null };
  const served = await serve(t, new RamDevice(), { mishaps });
  const client = await served.connect();
  await client.write(0, Buffer.alloc(BLOCK, 7));
  mishaps.next = () => ({ kind: 'error', error: 5 });
  await t.rejects(client.read(0, BLOCK), { code: 'EIO' });
  mishaps.next = null;
  t.strictSame(await client.read(0, BLOCK), Buffer.alloc(BLOCK, 7));
});
