// A stop while clients are at work: what was acknowledged is in the image, later requests are ESHUTDOWN, nobody holds it up.
import { connect } from 'node:net';
import * as wire from 'node-nbd-server';
import { type NbdClient, NbdError } from 'node-nbd-server';
import t from 'tap';
import { pageOf } from '../../support/random.ts';
import { rawClient } from '../../support/raw_client.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { isMarked, PAGE, readImage } from './images.ts';

const SLOTS = 8192;

interface Load {
  /** Version acknowledged last, per slot of this client. */
  readonly acknowledged: Map<number, number>;
  /** Codes of the errors that ended it. */
  readonly codes: Set<string>;
}

/** Writes slots that are `lane` modulo 4 until an error; no slot is with the server twice. */
async function load(client: NbdClient, lane: number, depth: number): Promise<Load> {
  const acknowledged = new Map<number, number>();
  const codes = new Set<string>();
  let n = 0;
  const worker = async (w: number): Promise<void> => {
    for (;;) {
      const slot = ((n++ * depth + w) % (SLOTS / (4 * depth))) * 4 * depth + w * 4 + lane;
      const version = n;
      try {
        await client.write(slot * PAGE, pageOf(slot, version, version % 3 === 0 ? 'noise' : 'text'));
        acknowledged.set(slot, version);
      } catch (error) {
        codes.add(error instanceof NbdError ? error.code : String(error));
        // What was refused or lost on the way may have been written or not.
        acknowledged.delete(slot);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: depth }, (_, w) => worker(w)));
  return { acknowledged, codes };
}

async function busy(server: RunningServer, pages: number): Promise<void> {
  while ((await server.stats()).pool.writes < pages);
}

for (const set of [['pool.max=64MiB'], ['pool.max=1MiB'], ['pool.max=1MiB', 'lanes=0']]) {
  t.test(`under load, ${set.join(' ')}`, async (t) => {
    const server = await startServer(t, { size: '32MiB', set });
    const clients = await Promise.all([0, 1, 2, 3].map(() => server.connect()));
    const loads = Promise.all(clients.map((client, lane) => load(client, lane, 16)));
    await busy(server, 5000);
    const { code } = await server.stop();
    t.equal(code, 0);
    t.notOk(isMarked(server.image));
    const image = readImage(server.image);
    for (const { acknowledged, codes } of await loads) {
      t.ok(
        [...codes].every((name) => name === 'ESHUTDOWN' || name === 'ENOTCONN'),
        [...codes].join(' '),
      );
      t.ok(acknowledged.size > 0, 'pages were acknowledged');
      const wrong = [...acknowledged].filter(([slot, version]) => {
        const page = image.subarray(slot * PAGE, (slot + 1) * PAGE);
        return !page.equals(pageOf(slot, version, version % 3 === 0 ? 'noise' : 'text'));
      });
      t.same(wrong, [], 'what was acknowledged is in the image');
    }
  });
}

t.test('clients that do nothing do not hold up the stop', async (t) => {
  const server = await startServer(t);
  const idle = await server.connect();
  const silent = connect(server.socketPath);
  // Not even the handshake is answered by this one.
  silent.on('error', () => silent.destroy());
  await new Promise((done) => silent.once('data', done));
  t.equal((await server.stop()).code, 0);
  await idle.closed;
  silent.destroy();
});

// Takes as long as the server's patience with such clients, which is 10 s unless it is told otherwise.
t.test('clients that neither read their replies nor finish their request do not hold up the stop', async (t) => {
  const server = await startServer(t, { set: ['stop.deadline=1s'] });
  const deaf = await rawClient(t, server.socketPath, 'swap0');
  for (let i = 0; i < 64; i++) deaf.request(wire.NBD_CMD_READ, 0, i, 2 ** 20, 2 ** 20);
  const slow = await rawClient(t, server.socketPath, 'swap0');
  slow.request(wire.NBD_CMD_WRITE, 0, 1, 0, 2 * PAGE, pageOf(0, 1));
  for (;;) {
    const { pool } = await server.stats();
    if (pool.reads > 0 && pool.stored_pages > 0) break;
  }
  t.equal((await server.stop()).code, 0);
  t.ok(readImage(server.image).subarray(0, PAGE).equals(pageOf(0, 1)), 'the page that had arrived was stored');
});
