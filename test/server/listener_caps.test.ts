// Each listener has a cap of its own: who fills one keeps nobody from another, and what is refused is in the log.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { type RunningServer, startServer } from '../support/zswapd.ts';

const CAP = 3;

async function serverWithTcp(t: Test): Promise<{ server: RunningServer; port: number }> {
  const set = ['listen.tcp=127.0.0.1:0', `listen.maxConnections=${CAP}`];
  const server = await startServer(t, { size: '8MiB', set });
  return { server, port: Number(new URL(server.uris.find((uri) => uri.startsWith('nbd:')) ?? '').port) };
}

/** Connects, and resolves with what came first: the greeting, or the end. */
async function knock(t: Test, where: { port: number } | { path: string }): Promise<{ socket: Socket; in: boolean }> {
  const socket = connect(where);
  t.teardown(() => socket.destroy());
  socket.on('error', () => socket.destroy());
  return new Promise((resolve) => {
    socket.once('data', () => resolve({ socket, in: true })).once('close', () => resolve({ socket, in: false }));
  });
}

t.test('a full TCP listener leaves the unix socket its own', async (t) => {
  const { server, port } = await serverWithTcp(t);
  const tcp = [];
  while (tcp.length < CAP) tcp.push(await NbdClient.connect({ port, export: 'swap0' }));
  t.notOk((await knock(t, { port })).in, 'one too many');
  const unix = [await server.connect(), await server.connect()];
  t.ok((await knock(t, { path: server.socketPath })).in, 'a handshake on the unix socket');
  unix.push(await server.connect());
  t.notOk((await knock(t, { path: server.socketPath })).in, 'which has the same cap');
  for (const client of [...tcp, ...unix]) await client.disconnect();
  await server.stop();
  t.match(server.stderr(), 'listen.tcp: connection refused: listen.maxConnections (3) are open');
  t.match(server.stderr(), 'listen.unix: connection refused: listen.maxConnections (3) are open');
});

t.test('a place is free again when its connection has ended', async (t) => {
  const { server, port } = await serverWithTcp(t);
  for (let round = 0; round < 3; round++) {
    const clients = [];
    while (clients.length < CAP) clients.push(await connectWhenFree({ port }));
    for (const client of clients) await client.disconnect();
  }
  t.equal((await server.stop()).code, 0);
});

/** The main thread hears of an end a little later than the client does. */
async function connectWhenFree(where: { port: number } | { socketPath: string }): Promise<NbdClient> {
  for (;;) {
    const client = await NbdClient.connect({ ...where, export: 'swap0' }).catch(() => null);
    if (client !== null) return client;
  }
}

t.test('every refusal is counted in the log, and a flood has few lines', async (t) => {
  const { server, port } = await serverWithTcp(t);
  const open = [];
  while (open.length < CAP) open.push(await NbdClient.connect({ port, export: 'swap0' }));
  for (let i = 0; i < 200; i++) t.notOk((await knock(t, { port })).in);
  for (const client of open) await client.disconnect();
  t.equal((await server.stop()).code, 0);
  const lines = server
    .stderr()
    .split('\n')
    .filter((line) => line.includes('refused'));
  const counts = lines.map((line) => Number(/(\d+) further connections/.exec(line)?.[1] ?? 1));
  t.equal(
    counts.reduce((sum, count) => sum + count, 0),
    200,
  );
  // One at once, then one per ten seconds, and the rest at the end.
  t.ok(lines.length <= 20, `${lines.length} lines`);
});

t.test('those who say nothing take no place, and the oldest of them makes room', async (t) => {
  const set = [`listen.maxConnections=${CAP}`, 'listen.handshakeTimeout=10m'];
  const server = await startServer(t, { size: '8MiB', set });
  const path = server.socketPath;
  const clients = [await server.connect(), await server.connect()];
  const silent = [];
  while (silent.length < CAP) silent.push(await knock(t, { path }));
  t.ok(
    silent.every((one) => one.in),
    'as many as there are places may be in their handshake',
  );
  const gone = silent.map(({ socket }) => once(socket, 'close'));
  clients.push(await connectWhenFree({ socketPath: path }));
  await Promise.race(gone);
  t.same(
    silent.map(({ socket }) => socket.closed),
    [true, false, false],
  );
  t.not((await server.logged(`listen.maxConnections (${CAP}) are open in their handshake`)).length, 0);
  for (const client of clients) await client.disconnect();
  t.equal((await server.stop()).code, 0);
});
