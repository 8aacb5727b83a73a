// Where a server is reached: addresses, streams; how it comes to its end, and what it refuses to begin with.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import { connect as connectSecure, createServer as createSecureServer } from 'node:tls';
import { type ByteDevice, NbdClient, NbdServer, serve } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';
import { tempFolder } from '../support/tmp.ts';

t.test('several addresses, and all go at a close', async (t) => {
  const path = join(tempFolder(t), 'nbd.sock');
  const { server } = await running(t, ram({}), {}, [path, 0, { host: '127.0.0.1', port: 0 }]);
  const [first, second, third] = server.addresses as [string, AddressInfo, AddressInfo];
  t.equal(first, path);
  t.equal(second.address, '127.0.0.1', 'a bare port is not for other machines');
  t.equal(server.port, second.port);
  for (const where of [{ socketPath: path }, { port: second.port }, { port: third.port }]) {
    const client = await NbdClient.connect(where);
    await client.write(0, Buffer.from('x'));
    await client.disconnect();
  }
  await server.close();
  t.notOk(existsSync(path));
  t.same(server.addresses, []);
});

t.test('a path that a system would cut is refused', async (t) => {
  await t.rejects(serve(ram({}), `${tempFolder(t)}/a\0b`), { name: 'RangeError', message: /no byte of 0/ });
});

t.test('an address that cannot be had leaves none', async (t) => {
  const path = join(tempFolder(t), 'nbd.sock');
  await t.rejects(serve(ram({}), [path, join(path, 'below.sock')]), { code: /ENOTDIR|EACCES|EADDRNOTAVAIL/ });
  t.notOk(existsSync(path));
});

t.test('close twice is close once, and nothing comes after it', async (t) => {
  const { server, connect } = await running(t, ram({}));
  const client = await connect();
  const closed = server.close();
  t.equal(server.close(1), closed);
  await closed;
  await client.closed;
  await t.rejects(server.listen(0), { message: /closed/ });
  const stream = new PassThrough();
  server.accept(stream);
  t.ok(stream.destroyed);
  t.equal(server.refused, 1);
});

/** How many of a kind Node keeps the process alive for. */
const active = (kind: string): number => process.getActiveResourcesInfo().filter((one) => one === kind).length;

t.test('listen ends with close, whatever it has come to', async (t) => {
  const path = join(tempFolder(t), 'nbd.sock');
  const before = active('TCPServerWrap');
  for (const where of [0, path, { host: 'localhost', port: 0 }]) {
    const server = new NbdServer({ devices: [ram({})] });
    const listening = t.rejects(server.listen(where), { message: /closed before it listened/ });
    await server.close();
    await listening;
    t.same(server.addresses, []);
    await t.rejects(server.listen(where), { name: 'Error', message: /closed, and listens no more/ });
  }
  const server = new NbdServer({ devices: [ram({})] });
  await server.close();
  await t.rejects(server.listen(0), { message: /closed/ });
  t.notOk(existsSync(path));
  await until(() => active('GetAddrInfoReqWrap') === 0);
  await until(() => active('TCPServerWrap') === before);
});

/** Accepts sockets of a client and hands the server other streams, that carry the same bytes. */
async function through(t: Test, device: ByteDevice, wrap: (socket: Socket) => Duplex) {
  const server = await serve(device);
  t.teardown(() => server.close(0));
  const front = createServer({ allowHalfOpen: true }, (socket) => server.accept(wrap(socket))).listen(0, '127.0.0.1');
  await once(front, 'listening');
  t.teardown(() => front.close());
  const { port } = front.address() as AddressInfo;
  return { server, connect: () => NbdClient.connect({ port }) };
}

t.test('a stream of any kind', async (t) => {
  const wraps: Record<string, (socket: Socket) => Duplex> = {
    socket: (socket) => socket,
    duplex: (socket) => Duplex.from({ readable: socket, writable: socket }),
    'small buffers': (socket) =>
      Duplex.from({
        readable: socket.pipe(new PassThrough({ highWaterMark: 100 })),
        writable: new PassThrough({ highWaterMark: 100 }).on('data', (chunk) => socket.write(chunk)),
      }),
  };
  for (const [name, wrap] of Object.entries(wraps)) {
    const { server, connect } = await through(t, ram({ size: 4 * 2 ** 20 }), wrap);
    const client = await connect();
    const payload = Buffer.alloc(3_000_001);
    for (let i = 0; i < payload.length; i++) payload[i] = (i * 31) >> 5;
    await client.write(5, payload);
    // More replies than are held for a client at a time, and each has to be what it was when it was made.
    const reads = Array.from({ length: 100 }, (_, i) => client.read(5 + i * 29_000, 29_000));
    for (const [i, read] of reads.entries()) {
      if (!(await read).equals(payload.subarray(i * 29_000, (i + 1) * 29_000))) t.fail(`${name}: read ${i} differs`);
    }
    t.ok((await client.read(5, payload.length)).equals(payload), name);
    client.destroy();
    if (name !== 'small buffers') await until(() => server.connections === 0);
  }
});

t.test('TLS, as a stream', async (t) => {
  const server = await serve(ram({}));
  t.teardown(() => server.close(0));
  // A key that both know needs no certificate.
  const psk = Buffer.alloc(16, 'secret');
  const common = { ciphers: 'PSK', maxVersion: 'TLSv1.2' as const };
  const secure = createSecureServer({ ...common, pskCallback: () => psk }, (socket) => server.accept(socket));
  secure.listen(0, '127.0.0.1');
  await once(secure, 'listening');
  t.teardown(() => secure.close());
  const { port } = secure.address() as AddressInfo;
  // Our client speaks no TLS itself.
  const front = createServer((plain) => {
    const check = () => undefined;
    const options = { ...common, port, checkServerIdentity: check, pskCallback: () => ({ psk, identity: 'client' }) };
    const outer = connectSecure(options);
    for (const stream of [plain, outer]) stream.on('error', () => plain.destroy());
    plain.pipe(outer).pipe(plain);
  }).listen(0, '127.0.0.1');
  await once(front, 'listening');
  t.teardown(() => front.close());
  const client = await NbdClient.connect({ port: (front.address() as AddressInfo).port });
  const payload = Buffer.alloc(900_000, 'behind a lock');
  await client.write(77, payload);
  t.ok((await client.read(77, payload.length)).equals(payload));
  await client.disconnect();
  await until(() => server.connections === 0);
});

t.test('a stream that fails, or gives text, ends its connection', async (t) => {
  const server = await serve(ram({}));
  t.teardown(() => server.close(0));
  const duplex = (): Duplex => new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  const failing = duplex();
  server.accept(failing);
  failing.destroy(new Error('line cut'));
  const text = duplex();
  server.accept(text);
  text.setEncoding('utf8');
  text.push('hello');
  const ended = duplex();
  server.accept(ended);
  ended.push(null);
  await until(() => server.connections === 0);
  t.ok(text.destroyed && ended.destroyed);
  t.throws(() => server.accept(failing), TypeError);
});

t.test('a stream of text, or one that is served already, is refused', async (t) => {
  const server = await serve(ram({}));
  t.teardown(() => server.close(0));
  const text = new PassThrough({ encoding: 'utf8' });
  t.throws(() => server.accept(text), { name: 'TypeError', message: /gives text \(utf8\)/ });
  const objects = new Duplex({ objectMode: true, read: () => undefined, write: () => undefined });
  t.throws(() => server.accept(objects), { name: 'TypeError', message: /is in object mode/ });
  const stream = new PassThrough();
  server.accept(stream);
  t.throws(() => server.accept(stream), { name: 'TypeError', message: /served already/ });
  t.equal(server.connections, 1);
});

t.test('a stream that does not say when it has closed gives its place back', async (t) => {
  const server = await serve(ram({}), [], { maxConnections: 1 });
  t.teardown(() => server.close(0));
  const streams: Duplex[] = [];
  const front = createServer({ allowHalfOpen: true }, (socket) => {
    const stream = new Duplex({
      emitClose: false,
      read: () => void socket.resume(),
      write: (chunk, _encoding, done) => void socket.write(chunk, done),
      final: (done) => void socket.end(done),
    });
    socket.on('data', (chunk) => stream.push(chunk)).on('end', () => stream.push(null));
    streams.push(stream);
    server.accept(stream);
  }).listen(0, '127.0.0.1');
  await once(front, 'listening');
  t.teardown(() => front.close());
  const connect = () => NbdClient.connect({ port: (front.address() as AddressInfo).port });
  const polite = await connect();
  await polite.write(0, Buffer.from('x'));
  await polite.disconnect();
  await until(() => server.connections === 0);
  const rude = await connect();
  rude.destroy();
  await until(() => server.connections === 0);
  for (const error of [new Error('line cut'), undefined]) {
    const cut = await connect();
    streams[streams.length - 1].destroy(error);
    await until(() => server.connections === 0);
    cut.destroy();
  }
  const last = await connect();
  t.equal(String(await last.read(0, 1)), 'x');
  await server.close(0);
  t.equal(server.connections, 0);
  t.ok(streams.every(({ destroyed }) => destroyed));
  last.destroy();
});
