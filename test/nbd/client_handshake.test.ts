/** The client's handshake with this package's own state machine, and with servers that are none. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import * as wire from 'node-nbd-server';
import { Handshake, NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { DISK, FIXED, OTHER, u16, u32 } from '../support/handshake_driver.ts';
import { simpleReply, startScripted } from '../support/scripted_server.ts';
import { tempFolder } from '../support/tmp.ts';

/** A server that says some bytes and then nothing more. */
async function startMute(t: Test, bytes: Uint8Array, end: boolean): Promise<string> {
  const path = join(tempFolder(t), 'nbd.sock');
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.resume();
    if (end) socket.end(bytes);
    else socket.write(bytes);
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  return path;
}

t.test('GO, EXPORT_NAME and EXPORT_NAME with pad bytes lead to the same export', async (t) => {
  const socketPath = await startScripted(t, [DISK, OTHER], (cookie) => simpleReply(cookie, 0));
  for (const [method, noZeroes] of [
    ['go', true],
    ['export-name', true],
    ['export-name', false],
  ] as const) {
    const client = await NbdClient.connect({ socketPath, export: 'disk', method, noZeroes, baseAllocation: true });
    t.equal(client.size, DISK.size);
    t.equal(client.flags, DISK.flags | wire.NBD_FLAG_SEND_DF);
    t.equal(client.baseAllocation, true);
    await client.flush();
    await client.disconnect();
  }
});

t.test('what the server tells about the export', async (t) => {
  const socketPath = await startScripted(t, [DISK, OTHER], (cookie) => simpleReply(cookie, 0));
  const client = await NbdClient.connect({ socketPath });
  t.same(client.info, {
    ...{ name: 'disk', description: 'first export' },
    ...{ minBlock: 1, preferredBlock: 4096, maxBlock: 33554432 },
  });
  t.equal(client.baseAllocation, false);
  await client.disconnect();
  t.same(await NbdClient.list({ socketPath }), [
    { name: 'disk', description: 'first export' },
    { name: 'other', description: '' },
  ]);
  await t.rejects(NbdClient.connect({ socketPath, export: 'nothing' }), {
    code: 'EINVAL',
    message: /no export "nothing"/,
  });
  await t.rejects(NbdClient.connect({ socketPath, export: 'nothing', method: 'export-name' }), { code: 'ENOTCONN' });
});

t.test('a client that was refused says that it leaves', async (t) => {
  const socketPath = join(tempFolder(t), 'nbd.sock');
  const server = createServer();
  server.listen(socketPath);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
  });
  const none = Buffer.concat([HELLO, reply(wire.NBD_OPT_LIST, wire.NBD_REP_ERR_POLICY, 0)]);
  const cases: [string, () => Promise<unknown>, (socket: Socket) => void][] = [
    ['GO', () => NbdClient.connect({ socketPath, export: 'nothing' }), handshakeOf],
    ['LIST', () => NbdClient.list({ socketPath }), (socket) => void socket.write(none)],
  ];
  for (const [what, ask, serve] of cases) {
    const came = once(server, 'connection') as Promise<[Socket]>;
    const asked = t.rejects(ask(), { message: /refused/ }, what);
    const [socket] = await came;
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => socket.destroy());
    const closed = new Promise((done) => socket.once('close', done));
    serve(socket);
    await Promise.all([asked, closed]);
    const farewell = u32(wire.IHAVEOPT_HI, wire.IHAVEOPT_LO, wire.NBD_OPT_ABORT, 0);
    t.same(Buffer.concat(chunks).subarray(-16), farewell, what);
  }
});

/** The handshake of this package, behind a socket. */
function handshakeOf(socket: Socket): void {
  const handshake = new Handshake({ exports: [DISK], write: (bytes) => socket.write(bytes) });
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    rest = rest.subarray(handshake.push(rest, 0, rest.length));
  });
  handshake.start();
}

const HELLO = Buffer.concat([u32(wire.NBDMAGIC_HI, wire.NBDMAGIC_LO, wire.IHAVEOPT_HI, wire.IHAVEOPT_LO), u16(FIXED)]);
const reply = (option: number, type: number, length: number): Buffer =>
  u32(wire.NBD_REP_MAGIC_HI, wire.NBD_REP_MAGIC_LO, option, type, length);

t.test('servers that break the handshake are refused', async (t) => {
  const broken: [string, Buffer][] = [
    ['no NBD', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['oldstyle', Buffer.concat([u32(wire.NBDMAGIC_HI, wire.NBDMAGIC_LO), Buffer.alloc(144)])],
    ['no fixed newstyle', Buffer.concat([HELLO.subarray(0, 16), u16(0)])],
    ['bad reply magic', Buffer.concat([HELLO, Buffer.alloc(20, 1)])],
    ['reply to another option', Buffer.concat([HELLO, reply(wire.NBD_OPT_GO, wire.NBD_REP_ACK, 0)])],
    ['reply of 4 GiB', Buffer.concat([HELLO, reply(wire.NBD_OPT_STRUCTURED_REPLY, wire.NBD_REP_ACK, 0xffffffff)])],
    [
      'GO without an export',
      Buffer.concat([HELLO, reply(wire.NBD_OPT_STRUCTURED_REPLY, 1, 0), reply(wire.NBD_OPT_GO, 1, 0)]),
    ],
  ];
  for (const [what, bytes] of broken) {
    const socketPath = await startMute(t, bytes, false);
    await t.rejects(NbdClient.connect({ socketPath }), { code: 'EPROTO' }, what);
  }
});

t.test('a server that hangs up at any byte of the handshake', async (t) => {
  for (let length = 0; length <= HELLO.length; length++) {
    const socketPath = await startMute(t, HELLO.subarray(0, length), true);
    await t.rejects(NbdClient.connect({ socketPath }), { code: /ENOTCONN|EPIPE|ECONNRESET/ });
  }
});

t.test('a server that says nothing runs into the deadline', async (t) => {
  const socketPath = await startMute(t, Buffer.alloc(0), false);
  await t.rejects(NbdClient.connect({ socketPath, timeoutMs: 50 }), { code: 'ETIMEDOUT' });
});
