// Clients that write many requests at once: each has its turn, and so has everything else on the main thread.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startControl } from '#src/control/control.js';
import { FileTree, table } from '#src/control/fs/tree.js';
import { REQUESTS_PER_CONNECTION } from '#src/control/line.js';
import { until } from '../support/nbd_server.ts';
import { tempFolder } from '../support/tmp.ts';

/** A server with a file whose reads are `read`. */
async function start(t: Test, read: () => string, timeoutMs?: number): Promise<string> {
  const socket = join(tempFolder(t), 'c');
  const control = await startControl({
    listen: socket,
    stats: () => ({}),
    files: new FileTree(table({ f: { read, write: () => undefined } })),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  t.teardown(() => control.close());
  return socket;
}

const REQUEST = 'GET /v1/fs/f HTTP/1.1\r\nhost: x\r\n\r\n';

async function open(t: Test, path: string): Promise<Socket> {
  const socket = connect(path);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** What comes until `end` has come `times` times, or until the server closes. */
async function receive(socket: Socket, end: RegExp, times: number): Promise<string> {
  let text = '';
  for await (const data of socket.iterator({ destroyOnReturn: false })) {
    text += data;
    if ((text.match(end)?.length ?? 0) >= times) break;
  }
  return text;
}

t.test('one request is answered in each turn of the event loop, whoever it is from', async (t) => {
  let turn = 0;
  let on = true;
  const count = (): void => {
    turn++;
    if (on) setImmediate(count);
  };
  const turns: number[] = [];
  const path = await start(t, () => `read ${turns.push(turn)}.`);
  const sockets = await Promise.all([1, 2, 3].map(() => open(t, path)));
  setImmediate(count);
  for (const socket of sockets) socket.write(REQUEST.repeat(20));
  const texts = await Promise.all(sockets.map((socket) => receive(socket, /read \d+\./g, 20)));
  on = false;
  t.equal(turns.length, 60);
  // The first one is answered where it came in, which may be before or after the count of its turn.
  t.ok(new Set(turns).size >= 59, 'no turn had two');
  const places = texts.map((text) => [...text.matchAll(/read (\d+)\./g)].map(([, place]) => Number(place)));
  for (const own of places) {
    t.strictSame(
      own,
      own.toSorted((a, b) => a - b),
      'answers come in order',
    );
    t.ok(own[0] < 20, 'nobody waits until another has all of his');
  }
});

t.test('of a client that does not read one answer is made, and others have theirs', async (t) => {
  let reads = 0;
  const path = await start(t, () => {
    reads++;
    return 'x'.repeat(2 ** 20);
  });
  const deaf = await open(t, path);
  deaf.write(REQUEST.repeat(20));
  const other = await open(t, path);
  for (let i = 1; i <= 5; i++) {
    other.write(REQUEST);
    await receive(other, /x\n/g, 1);
  }
  t.equal(reads, 6);
});

const descriptors = (): number => readdirSync('/proc/self/fd').length;

t.test('a client that does not read is closed in time, also one that has changed something before', async (t) => {
  const path = await start(t, () => 'x'.repeat(2 ** 20), 200);
  const change = 'PUT /v1/fs/f HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1';
  for (const before of ['', change]) {
    const deaf = await open(t, path);
    deaf.write(before + REQUEST.repeat(20));
    // Who does not read isn't told; but the server's end is one of our own descriptors.
    const all = descriptors();
    await until(() => descriptors() < all);
    t.pass('closed');
  }
});

t.test('a client that has too many under way is refused, after those before', async (t) => {
  let reads = 0;
  const path = await start(t, () => `read ${++reads}.`);
  const socket = await open(t, path);
  socket.write(REQUEST.repeat(REQUESTS_PER_CONNECTION + 20));
  const text = await receive(socket, /never/g, 1);
  t.equal(reads, REQUESTS_PER_CONNECTION);
  t.equal(text.match(/HTTP\/1\.1 200/g)?.length, REQUESTS_PER_CONNECTION);
  t.equal(text.match(/HTTP\/1\.1 503/g)?.length, 1);
  t.match(text, /more than 64 requests of this connection wait/);
  t.ok(socket.readableEnded, 'and the connection is closed');
});

t.test('what a client wanted that has gone is not done', async (t) => {
  let reads = 0;
  const path = await start(t, () => {
    reads++;
    return 'x'.repeat(2 ** 20);
  });
  const gone = await open(t, path);
  gone.write(REQUEST.repeat(20));
  await once(gone, 'data');
  gone.destroy();
  const other = await open(t, path);
  other.write(REQUEST);
  await receive(other, /x\n/g, 1);
  t.ok(reads <= 3, `${reads} reads`);
});

t.test('who closes his half after a request is answered', async (t) => {
  const path = await start(t, () => 'text');
  const socket = await open(t, path);
  socket.end(REQUEST);
  t.match(await receive(socket, /text\n/g, 1), /^HTTP\/1\.1 200/);
});
