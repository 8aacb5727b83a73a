// debug.break: a server without one of its safeguards does what that safeguard is there to prevent, and says nothing.

import t from 'tap';
import { type ConfigError, loadConfigText } from '#src/config/load.js';
import { askFaults as ask, planOf as plan } from '../support/faults.ts';
import { makePage } from '../support/pool.ts';
import { rawClient } from '../support/raw_client.ts';
import { until } from '../support/until.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const WRITE = 1;
const noise = (number: number): Buffer => Buffer.from(makePage('random', number));
const text = (number: number): Buffer => Buffer.from(makePage('text', number));
const broken = (how: string, ...set: string[]) => ({ set: ['unsafe=true', `debug.break=${how}`, ...set] });

t.test('it is refused without unsafe', async (t) => {
  try {
    loadConfigText('c', '{ "debug": { "break": "fence" } }');
    t.fail('it was taken');
  } catch (error) {
    const { problems } = error as ConfigError;
    t.strictSame(problems, [
      'c:1:23: debug.break: fence loses or corrupts data on purpose, allowed: only with unsafe: true',
    ]);
  }
  t.throws(() => loadConfigText('c', '{ "unsafe": true, "debug": { "break": "x" } }'), {
    message: /"x" is not one of the names, allowed: "checksum", "fence", "early-reply", "fsync", or null for none$/,
  });
});

t.test('checksum: a lost image write is read as what was there before', async (t) => {
  const server = await startServer(t, broken('checksum'));
  const client = await server.connect();
  await client.write(0, noise(1));
  await ask(server, 'POST', plan({ site: 'image.write', action: 'lost' }));
  await client.write(0, noise(2));
  t.strictSame(await client.read(0, PAGE), noise(1));
});

t.test('early-reply: a WRITE that was answered is not there yet', async (t) => {
  const server = await startServer(t, broken('early-reply'));
  const client = await server.connect();
  // One behind the other, so that the READ is looked at before any timer.
  const [, read] = await Promise.all([client.write(0, text(1)), client.read(0, PAGE)]);
  t.notSame(read, text(1));
  await until(async () => text(1).equals(await client.read(0, PAGE)));
});

t.test('fsync: what was flushed is gone after a kill', async (t) => {
  const o = broken('fsync', 'durability=strict');
  const server = await startServer(t, o);
  const client = await server.connect();
  await client.write(0, text(1));
  await client.flush();
  await server.kill9();
  const again = await startServer(t, { ...o, folder: server.folder });
  t.notSame(await (await again.connect()).read(0, PAGE), text(1));
});

/** A WRITE that hangs in the image, another to the same slot behind it, and then their client goes. */
async function leaveBehind(server: RunningServer): Promise<void> {
  await ask(server, 'POST', plan({ site: 'image.write', action: 'hang' }));
  const raw = await rawClient({ teardown: () => undefined } as never, server.socketPath, 'swap0');
  raw.request(WRITE, 0, 1, 0, PAGE, noise(1));
  raw.request(WRITE, 0, 2, 0, PAGE, text(2));
  await server.logged('fault injected: image.write hang');
  const ended = new Promise((resolve) => raw.socket.once('close', resolve));
  raw.socket.end();
  raw.socket.destroy();
  await ended;
  await ask(server, 'DELETE');
}

t.test('fence: what a closed connection has left lands', async (t) => {
  // What an ordinary server does is tested at length in test/system/fence.
  for (const how of process.env.ZSWAPD_LONG === '1' ? ['fence', 'null'] : ['fence']) {
    const server = await startServer(t, broken(how));
    const client = await server.connect();
    await leaveBehind(server);
    await until(async () => (await server.stats()).exports[0].clients === 1);
    t.strictSame(await client.read(0, PAGE), how === 'fence' ? text(2) : noise(1), how);
  }
});
