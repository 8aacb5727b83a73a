// What a client is asked that can't be sent, and servers that leave half-way: each request settles, and nothing else goes out.
import { createServer } from 'node:net';
import { join } from 'node:path';
import { NBD_CMD_READ, NBD_OPT_LIST, NBD_REP_SERVER, NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { DISK, u16, u32 } from '../support/handshake_driver.ts';
import { simpleReply, startScripted } from '../support/scripted_server.ts';
import { tempFolder } from '../support/tmp.ts';

/** Requests that have come to the server, by their first bytes. */
async function counting(t: Test): Promise<{ client: NbdClient; came: () => number }> {
  let came = 0;
  const socketPath = await startScripted(t, [DISK], (cookie) => {
    came++;
    return simpleReply(cookie, 0);
  });
  const client = await NbdClient.connect({ socketPath, structured: false, maxInFlight: 1 });
  return { client, came: () => came };
}

const NO_BYTES: readonly [string, unknown][] = [
  ['a string', 'x'.repeat(512)],
  ['a list', Array(512).fill(7)],
  ['an array of 16 bits', new Uint16Array(256)],
  ['an ArrayBuffer', new ArrayBuffer(512)],
  ['nothing', undefined],
];

for (const [what, data] of NO_BYTES) {
  t.test(`${what} is no data of a WRITE, and no raw bytes`, async (t) => {
    const { client, came } = await counting(t);
    const message = /has to be a Buffer or another Uint8Array/;
    await t.rejects(client.write(0, data as Uint8Array), { name: 'TypeError', message });
    t.throws(() => client.sendRaw(data as Uint8Array), { name: 'TypeError', message });
    if (data !== undefined) await t.rejects(client.request(1, 0, 0, 512, data as Uint8Array), { message });
    t.equal(client.inFlight, 0);
    await client.flush();
    t.equal(came(), 1, 'nothing was sent');
    await client.disconnect();
  });
}

t.test('a request that has no place in a header is refused, holds no place and stops no other', async (t) => {
  const { client, came } = await counting(t);
  const before = client.flush();
  const [ok, big] = [0, 2 ** 32];
  for (const [what, name, args] of [
    ['type', 'RangeError', [70_000, ok, ok, ok]],
    ['flags', 'RangeError', [ok, 70_000, ok, ok]],
    ['flags', 'TypeError', [ok, '1', ok, ok]],
    ['offset', 'RangeError', [ok, ok, -1, ok]],
    ['offset', 'RangeError', [ok, ok, 2 ** 53, ok]],
    ['offset', 'RangeError', [ok, ok, -1n, ok]],
    ['offset', 'TypeError', [ok, ok, '0', ok]],
    ['offset', 'TypeError', [ok, ok, undefined, ok]],
    ['length', 'RangeError', [ok, ok, ok, big]],
    ['length', 'RangeError', [ok, ok, ok, 1.5]],
  ] as const) {
    const wrong = args as unknown as [number, number, number, number];
    await t.rejects(client.request(...wrong), { name, message: new RegExp(`^${what} is `) });
  }
  t.strictSame([client.inFlight, client.queued], [1, 0]);
  await Promise.all([before, client.flush(), client.request(NBD_CMD_READ, 0, 2n ** 64n - 1n, 0)]);
  t.equal(came(), 3);
  await client.disconnect();
});

t.test('requests settle when the server ends its side and takes nothing more', async (t) => {
  const socketPath = await startScripted(t, [DISK], (_cookie, _n, socket) => {
    // Its own side stays open, but nothing is read from it.
    socket.allowHalfOpen = true;
    socket.pause();
    setImmediate(() => socket.end());
    return new Uint8Array(0);
  });
  const client = await NbdClient.connect({ socketPath, structured: false });
  const first = client.flush();
  const writes = Array.from({ length: 8 }, () => client.write(0, Buffer.alloc(1 << 20)));
  const lost = { code: 'ENOTCONN' };
  await Promise.all([first, ...writes].map((one) => t.rejects(one, lost)));
  await client.closed;
  t.equal(client.inFlight, 0);
});

t.test('a list without an end is an error before it is gigabytes', async (t) => {
  const socketPath = join(tempFolder(t), 'nbd.sock');
  let sent = 0;
  const name = Buffer.concat([u32(32_768), Buffer.alloc(65_532)]);
  const head = [0x0003e889, 0x045565a9, NBD_OPT_LIST, NBD_REP_SERVER, name.length];
  const reply = Buffer.concat([u32(...head), name]);
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.write(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(3)]));
    const more = (): void => {
      while (!socket.destroyed && sent < 1000 && socket.write(reply)) sent++;
    };
    socket.on('drain', more);
    socket.once('data', more);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.teardown(() => {
    server.close();
  });
  await t.rejects(NbdClient.list({ socketPath }), { code: 'EPROTO', message: /too many replies/ });
  t.ok(sent < 500, `${sent} replies of 64 KiB were taken`);
});

t.test('a client is disposed of by saying goodbye', async (t) => {
  const { client, came } = await counting(t);
  const flush = client.flush();
  await client[Symbol.asyncDispose]();
  await flush;
  t.equal(came(), 1);
  await client.closed;
});
