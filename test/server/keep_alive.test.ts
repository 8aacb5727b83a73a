// A TCP peer that vanished is noticed: the server's end of each connection asks for a sign of life.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import koffi from 'koffi';
import t from 'tap';
import { descriptorOf } from '#src/os/descriptor.js';
import { keepAlive } from '#src/os/syscalls.js';
import { KEEP_ALIVE_PENDING, timerOf } from '../support/tcp_timer.ts';
import { startServer } from '../support/zswapd.ts';

t.test('of a real server', async (t) => {
  const server = await startServer(t, { size: '8MiB', set: ['listen.tcp=127.0.0.1:0'] });
  const port = Number(new URL(server.uris.find((uri) => uri.startsWith('nbd:')) ?? '').port);
  const client = connect(port, '127.0.0.1');
  t.teardown(() => client.destroy());
  // With the greeting the lane has it.
  await once(client, 'data');
  const { kind, ticks } = timerOf(port, client.localPort!);
  t.equal(kind, KEEP_ALIVE_PENDING);
  t.ok(ticks <= 300 * 100, `after five minutes of silence at most: ${ticks / 100} s`);
  t.ok(ticks > 60 * 100, 'and not in the next one');
  client.destroy();
  t.equal((await server.stop()).code, 0);
});

t.test("idle time, interval and count are the kernel's", async (t) => {
  const libc = koffi.load('libc.so.6');
  const get = libc.func('int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ unsigned int *length)');
  const read = (fd: number, level: number, name: number): number => {
    const value = [0];
    t.equal(get(fd, level, name, value, [4]), 0);
    return value[0];
  };
  const listening = createServer();
  t.teardown(() => listening.close());
  const accepted = new Promise<Socket>((resolve) => listening.once('connection', resolve));
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const client = connect((listening.address() as { port: number }).port, '127.0.0.1');
  const socket = await accepted;
  t.teardown(() => {
    client.destroy();
    socket.destroy();
  });
  const fd = descriptorOf(socket);
  const [SOL_SOCKET, SO_KEEPALIVE, IPPROTO_TCP, IDLE, INTERVAL, COUNT] = [1, 9, 6, 4, 5, 6];
  t.equal(read(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
  t.equal(keepAlive(fd, { idle: 300, interval: 60, count: 10 }), 0);
  t.equal(read(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  t.same(
    [IDLE, INTERVAL, COUNT].map((name) => read(fd, IPPROTO_TCP, name)),
    [300, 60, 10],
  );
  const EBADF = 9;
  t.equal(keepAlive(1_000_000, { idle: 1, interval: 1, count: 1 }), -EBADF);
});
