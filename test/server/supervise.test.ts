// `serve --supervise` with real processes: what ends unasked is started again while clients wait at its sockets, so often.
import { existsSync } from 'node:fs';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { pageOf } from '../support/random.ts';
import { DURABLE, startSupervised } from '../support/supervised.ts';

t.test('a killed server is started again, and who waits at either socket gets the right bytes', async (t) => {
  const set = [...DURABLE, 'listen.tcp=127.0.0.1:0', 'supervise.backoff=300ms'];
  const server = await startSupervised(t, { set });
  const { port } = new URL(server.uris.find((uri) => uri.startsWith('nbd:')) ?? '');
  const client = await server.connect();
  for (let slot = 0; slot < 4; slot++) await client.write(slot * 4096, pageOf(slot, 1));
  process.kill(server.server()!, 'SIGKILL');
  await server.logged('ended unasked: killed by SIGKILL');
  t.equal(server.server(), null, 'nobody serves, and nobody is refused');
  const clients = await Promise.all([server.connect(), NbdClient.connect({ port: Number(port), export: 'swap0' })]);
  for (const one of clients) {
    for (let slot = 0; slot < 4; slot++) t.same(await one.read(slot * 4096, 4096), pageOf(slot, 1));
    await one.disconnect();
  }
  const { supervisor } = await server.stats();
  t.match(supervisor, { pid: server.pid, restarts: 1, upgrades: 0, lastEnd: 'SIGKILL' });
  await server.logged('serving again after');
  t.match(await server.stop(), { code: 0 });
  t.notOk(existsSync(server.socketPath), 'the socket goes with its supervisor');
});

t.test('too many restarts in a window: exit 1', async (t) => {
  const server = await startSupervised(t, { set: [...DURABLE, 'supervise.restarts=1'] });
  const first = server.server()!;
  process.kill(first, 'SIGKILL');
  process.kill(await server.another(), 'SIGKILL');
  const { code, stderr } = await server.ended;
  t.equal(code, 1);
  t.match(stderr, /supervise\.restarts are used up: it is not started again/);
});

t.test('a stop while it waits to start the server again', async (t) => {
  const server = await startSupervised(t, { set: [...DURABLE, 'supervise.backoff=1m', 'supervise.backoffMax=1m'] });
  process.kill(server.server()!, 'SIGKILL');
  await server.logged('started again in 60000 ms');
  t.match(await server.stop(), { code: 4 }, 'nobody has drained what it had');
});
