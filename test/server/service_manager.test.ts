// What a service manager is told on a real datagram socket, and for how long it is asked to wait.
import { join } from 'node:path';
import t from 'tap';
import { ServiceManager, watchdogMs } from '#src/server/service_manager.js';
import { fuseImage } from '../support/fuse_image.ts';
import { notifications } from '../support/notifications.ts';
import { startServer } from '../support/one_thread.ts';
import { pageOf } from '../support/random.ts';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';

const skip = missing('python3');
const disk = missing('python3', 'root', '/dev/fuse', 'nbdfuse', 'nbdkit');

for (const kind of ['path', 'abstract'] as const) {
  t.test(`ready and stopping, to a socket with a name that is ${kind}`, { skip }, async (t) => {
    const name = join(tempFolder(t), 'notify');
    const address = kind === 'path' ? name : `@${name}`;
    const manager = await notifications(t, address);
    manager.read();
    const server = await startServer(t, { env: { NOTIFY_SOCKET: address } });
    await manager.hears('READY=1');
    t.ok(manager.heard.includes('STATUS=serving swap0'));
    t.notOk(manager.heard.includes('STOPPING=1'));
    t.equal((await server.stop()).code, 0);
    await manager.hears('STOPPING=1');
    t.ok(manager.heard.includes('EXTEND_TIMEOUT_USEC=60000000'));
    t.notMatch(server.stderr(), /NOTIFY_SOCKET/);
  });
}

t.test(
  'while a slow image takes pages, the manager is asked for more time and told how far it is',
  { skip: disk },
  async (t) => {
    const address = join(tempFolder(t), 'notify');
    const manager = await notifications(t, address);
    manager.read();
    // 20 pages apart from each other, 200 ms each, one after the other: four seconds.
    const image = await fuseImage(t, { bytes: 16 * 2 ** 20, writeDelay: '200ms' });
    const server = await startServer(t, { size: '16MiB', image: image.path, env: { NOTIFY_SOCKET: address } });
    const client = await server.connect();
    await Promise.all(Array.from({ length: 20 }, (_, i) => client.write(i * 2 * 4096, pageOf(i * 2, 0))));
    await client.disconnect();
    t.equal((await server.stop()).code, 0);
    await manager.hears('STATUS=draining swap0: 20 of 20 pages');
    const asked = manager.heard.filter((line) => line.startsWith('EXTEND_TIMEOUT_USEC='));
    t.ok(asked.length >= 3, `asked ${asked.length} times`);
  },
);

t.test(
  'a watchdog is told again and again that the main thread runs, also while it stops',
  { skip: disk },
  async (t) => {
    const address = join(tempFolder(t), 'notify');
    const manager = await notifications(t, address);
    manager.read();
    const image = await fuseImage(t, { bytes: 2 ** 20, writeDelay: '500ms' });
    const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '100000' };
    const server = await startServer(t, { size: '1MiB', image: image.path, env });
    const client = await server.connect();
    await client.write(0, pageOf(1, 0));
    await client.disconnect();
    await manager.hears('WATCHDOG=1');
    t.equal((await server.stop()).code, 0);
    await manager.hears('STOPPING=1');
    t.ok(manager.heard.lastIndexOf('WATCHDOG=1') > manager.heard.indexOf('STOPPING=1'));
    t.notMatch(server.stderr(), /WATCHDOG/);
  },
);

t.test('a watchdog is told at half of its time, if it is ours', async (t) => {
  const said: string[] = [];
  const ms = (env: NodeJS.ProcessEnv) => watchdogMs(env, 7, (line) => said.push(line));
  t.equal(ms({}), null);
  t.equal(ms({ WATCHDOG_USEC: '30000000' }), 15_000);
  t.equal(ms({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }), 15_000);
  t.equal(ms({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }), null, 'the variables reach children of a service too');
  t.equal(ms({ WATCHDOG_USEC: '1' }), 1);
  t.equal(ms({ WATCHDOG_USEC: '18446744073709551614' }), 2 ** 31 - 1, 'the longest that a timer of Node can be');
  t.same(said, []);
  for (const WATCHDOG_USEC of ['0', '', '1s', '-1']) t.equal(ms({ WATCHDOG_USEC }), null);
  t.equal(said.length, 4);
  t.equal(said[2], 'WATCHDOG_USEC: 1s is no number of microseconds, the watchdog is told nothing');
});

t.test('nobody to tell: a line, once, and no harm', async (t) => {
  const folder = tempFolder(t);
  const server = await startServer(t, { env: { NOTIFY_SOCKET: join(folder, 'nobody') } });
  t.match(await server.stop(), { code: 0 });
  const lines = server
    .stderr()
    .split('\n')
    .filter((line) => line.includes('NOTIFY_SOCKET'));
  t.equal(lines.length, 1);
  t.match(lines[0], /\(ENOENT\): /);
});

t.test('without an address nothing is sent; one that no socket can have is said', async (t) => {
  const said: string[] = [];
  for (const address of [undefined, '']) new ServiceManager(address, (line) => said.push(line)).ready('x');
  t.same(said, []);
  for (const address of ['/'.padEnd(108, 'x'), '@'.padEnd(109, 'x'), '@'])
    new ServiceManager(address, (line) => said.push(line)).ready('x');
  t.equal(said.length, 3);
  t.ok(said.every((line) => line.includes('(EINVAL)')));
});

t.test('a manager that is behind hears all the same that we are ready', { skip }, async (t) => {
  const address = join(tempFolder(t), 'notify');
  const behind = await notifications(t, address);
  const said: string[] = [];
  const manager = new ServiceManager(address, (line) => said.push(line));
  // More than a socket holds.
  for (let i = 0; i < 2000; i++) manager.status(`${i}`);
  manager.ready('late');
  behind.read();
  await behind.hears('READY=1');
  t.equal(behind.heard.at(-1), 'STATUS=late');
  t.ok(behind.heard.length < 1500, `${behind.heard.length} lines were heard, and none is kept for ever`);
  t.same(said, []);
});
