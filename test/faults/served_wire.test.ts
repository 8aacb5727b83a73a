// Faults of replies on a real server: what a client meets, and that it never reads wrong bytes.

import type { NbdClientOptions, NbdError } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { askFaults as ask, type FaultReport, planOf as plan } from '../support/faults.ts';
import { makePage } from '../support/pool.ts';
import { rawClient } from '../support/raw_client.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const READ = 0;
const text = (number: number): Buffer => Buffer.from(makePage('text', number));

const server: Promise<RunningServer> = startServer(t);

async function inject(t: Test, fault: object, o: NbdClientOptions = {}) {
  const at = await server;
  const client = await at.connect(o);
  for (let slot = 0; slot < 8; slot++) await client.write(slot * PAGE, text(slot));
  await ask(at, 'POST', plan({ id: 'f', site: 'wire.reply', ...fault }));
  t.teardown(() => ask(at, 'DELETE').then(() => client.destroy()));
  return { client, told: (): Promise<FaultReport> => ask(at, 'GET') };
}

t.test('an error is EIO for the request that it met, and the connection goes on', async (t) => {
  const { client, told } = await inject(t, { action: 'error', match: { command: 'read' }, when: { times: 1 } });
  await client.write(0, text(0));
  await t.rejects(client.read(0, PAGE), { code: 'EIO' });
  t.strictSame(await client.read(0, PAGE), text(0));
  t.match(await told(), { faults: [{ matched: 2, injected: 1 }] });
});

t.test('a reply that is delayed is passed by others', async (t) => {
  const match = { command: 'read', slots: '1' };
  const { client } = await inject(t, { action: 'delay', match, with: { delay: '50ms' } });
  const order: number[] = [];
  await Promise.all(
    [1, 2, 3].map((slot) =>
      client.read(slot * PAGE, PAGE).then((page) => {
        t.strictSame(page, text(slot));
        order.push(slot);
      }),
    ),
  );
  t.equal(order.at(-1), 1);
});

t.test('replies change places, and each is what was asked for', async (t) => {
  const match = { command: 'read' };
  const { client, told } = await inject(t, { action: 'reorder', match, when: { interval: 2 }, with: { delay: '9m' } });
  const order: number[] = [];
  await Promise.all(
    [0, 1, 2, 3, 4, 5, 6].map((slot) =>
      client.read(slot * PAGE, PAGE).then((page) => {
        t.strictSame(page, text(slot));
        order.push(slot);
      }),
    ),
  );
  t.notSame(order, [0, 1, 2, 3, 4, 5, 6]);
  t.match(await told(), { faults: [{ injected: 3 }] });
});

for (const action of ['stall', 'split']) {
  t.test(`what is sent is whole in the end after a ${action}`, async (t) => {
    const extra = action === 'stall' ? { with: { stall: '5ms' } } : {};
    const { client, told } = await inject(t, { action, when: { interval: 3 }, ...extra });
    for (let round = 0; round < 4; round++) {
      const pages = await Promise.all([0, 1, 2, 3, 4, 5].map((slot) => client.read(slot * PAGE, PAGE)));
      for (const [slot, page] of pages.entries()) t.strictSame(page, text(slot));
    }
    await client.write(0, text(0));
    t.match(await told(), { faults: [{ injected: 8 }] });
  });
}

for (const action of ['drop', 'half-close', 'duplicate', 'cookie']) {
  t.test(`a client that meets a ${action} loses its connection and no byte, and comes again`, async (t) => {
    const { client } = await inject(t, { action, match: { command: 'read' }, when: { times: 1 } });
    const read = await client.read(0, PAGE).catch((error: NbdError) => error);
    if (Buffer.isBuffer(read)) t.strictSame(read, text(0));
    const again = await client.read(0, PAGE).catch((error: NbdError) => error);
    t.notOk(Buffer.isBuffer(read) && Buffer.isBuffer(again), 'it has noticed');
    const other = await (await server).connect();
    t.strictSame(await other.read(0, PAGE), text(0));
    await other.disconnect();
  });
}

t.test('a half-close is the end of what is sent', async (t) => {
  const at = await server;
  await ask(at, 'POST', plan({ site: 'wire.reply', action: 'half-close' }));
  const raw = await rawClient(t, at.socketPath, 'swap0');
  raw.request(READ, 0, 1, 0, PAGE);
  await t.rejects(raw.take(1), { message: 'the stream ended' });
  await ask(at, 'DELETE');
});

t.test('a connection can be named, by the number that events tell', async (t) => {
  const { client, told } = await inject(t, { action: 'delay', when: { times: 1 }, with: { delay: '0ms' } });
  await client.read(0, PAGE);
  const [{ connection = 0 }] = (await told()).events;
  t.ok(connection > 0);
  const at = await server;
  await ask(at, 'POST', plan({ site: 'wire.reply', action: 'error', match: { connection } }));
  await t.rejects(client.read(0, PAGE), { code: 'EIO' });
  const other = await at.connect();
  t.strictSame(await other.read(0, PAGE), text(0));
  await other.disconnect();
});
