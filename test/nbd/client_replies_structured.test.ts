/** The client assembles structured replies, and ends the connection on any that do not fit the request. */
import * as wire from 'node-nbd-server';
import { NbdClient, type NbdReply } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { DISK, u16, u32 } from '../support/handshake_driver.ts';
import {
  chunk,
  DONE,
  dataChunk,
  holeChunk,
  type Script,
  simpleReply,
  startScripted,
} from '../support/scripted_server.ts';

async function connect(t: Test, script: Script, structured = true): Promise<NbdClient> {
  const socketPath = await startScripted(t, [DISK], script);
  const client = await NbdClient.connect({ socketPath, structured, baseAllocation: true });
  t.teardown(() => client.destroy());
  return client;
}

const A = Buffer.alloc(512, 'a');
const B = Buffer.alloc(512, 'b');
const status = (cookie: Buffer, body: Buffer): Buffer => chunk(cookie, wire.NBD_REPLY_TYPE_BLOCK_STATUS, body, true);

t.test('data and holes in any order make one result', async (t) => {
  const client = await connect(t, (c) =>
    Buffer.concat([dataChunk(c, 5120, B), holeChunk(c, 4608, 512), dataChunk(c, 4096, A), DONE(c)]),
  );
  const data = await client.read(4096, 1536);
  t.ok(data.equals(Buffer.concat([A, Buffer.alloc(512), B])));
  await client.disconnect();
});

t.test('replies cut into single bytes and out of order', async (t) => {
  const cookies: Buffer[] = [];
  const client = await connect(t, (cookie, _n, socket) => {
    cookies.push(cookie);
    if (cookies.length < 2) return Buffer.alloc(0);
    const [first, second] = cookies;
    const all = Buffer.concat([dataChunk(second, 0, B), dataChunk(first, 0, A), DONE(first), DONE(second)]);
    // Each write waits for the one before, so that the kernel does not always join them.
    const next = (at: number): void => {
      if (at < all.length) socket.write(all.subarray(at, at + 1), () => next(at + 1));
    };
    next(0);
    return Buffer.alloc(0);
  });
  const [first, second] = await Promise.all([client.read(0, 512), client.read(0, 512)]);
  t.ok(first.equals(A));
  t.ok(second.equals(B));
  await client.disconnect();
});

t.test('an error chunk fails its request alone, after the last chunk', async (t) => {
  const text = Buffer.from('bad sector');
  const error = Buffer.concat([u32(wire.NBD_EIO), u16(text.length), text]);
  const client = await connect(t, (c, n) =>
    n === 0
      ? Buffer.concat([
          chunk(c, wire.NBD_REPLY_TYPE_ERROR_OFFSET, Buffer.concat([error, u32(0, 512)])),
          ...[dataChunk(c, 0, A), DONE(c)],
        ])
      : n === 1
        ? chunk(c, 0x8123, error, true)
        : Buffer.concat([dataChunk(c, 0, A), DONE(c)]),
  );
  await t.rejects(client.read(0, 1024), { code: 'EIO', message: 'bad sector' });
  await t.rejects(client.read(0, 1024), { code: 'EIO' }, 'an unknown kind of error is still an error');
  t.ok((await client.read(0, 512)).equals(A));
  await client.disconnect();
});

t.test('block status', async (t) => {
  const client = await connect(t, (c) => status(c, u32(1, 512, 0, 4096, 3)));
  t.same(await client.blockStatus(4096, 1024), [
    { offset: 4096, length: 512, flags: 0 },
    { offset: 4608, length: 4096, flags: 3 },
  ]);
  await client.disconnect();
});

const READ = (client: NbdClient): Promise<NbdReply> => client.request(wire.NBD_CMD_READ, 0, 0, 1024);
const READ_DF = (client: NbdClient): Promise<NbdReply> =>
  client.request(wire.NBD_CMD_READ, wire.NBD_CMD_FLAG_DF, 0, 1024);
const STATUS = (client: NbdClient): Promise<NbdReply> => client.request(wire.NBD_CMD_BLOCK_STATUS, 0, 0, 1024);
const STATUS_ONE = (client: NbdClient): Promise<NbdReply> =>
  client.request(wire.NBD_CMD_BLOCK_STATUS, wire.NBD_CMD_FLAG_REQ_ONE, 0, 1024);
const FLUSH = (client: NbdClient): Promise<NbdReply> => client.request(wire.NBD_CMD_FLUSH, 0, 0, 0);
const both = (c: Buffer, ...chunks: Buffer[]): Buffer => Buffer.concat([...chunks, DONE(c)]);

const BROKEN: [string, (client: NbdClient) => Promise<NbdReply>, (c: Buffer) => Buffer][] = [
  ['overlapping data', READ, (c) => both(c, dataChunk(c, 0, A), dataChunk(c, 256, A), dataChunk(c, 512, A))],
  ['the same data twice', READ, (c) => both(c, dataChunk(c, 0, A), dataChunk(c, 0, A))],
  ['a gap', READ, (c) => both(c, dataChunk(c, 0, A))],
  ['a gap in the middle', READ, (c) => both(c, dataChunk(c, 0, A), holeChunk(c, 768, 256))],
  ['no data', READ, (c) => DONE(c)],
  ['data before the range', (k) => k.request(0, 0, 512, 512), (c) => both(c, dataChunk(c, 0, A))],
  ['data behind the range', READ, (c) => both(c, dataChunk(c, 768, A))],
  [
    'data across the end of the range',
    (k) => k.request(0, 0, 0, 768),
    (c) => both(c, dataChunk(c, 0, A), dataChunk(c, 512, A)),
  ],
  ['more data than asked', READ, (c) => both(c, dataChunk(c, 0, Buffer.alloc(1025)))],
  ['a hole of no length', READ, (c) => both(c, holeChunk(c, 0, 0))],
  ['a hole of 2^32-1', READ, (c) => both(c, holeChunk(c, 0, 0xffffffff))],
  ['two chunks with DF', READ_DF, (c) => both(c, dataChunk(c, 0, A), dataChunk(c, 512, A))],
  ['a simple reply to a read', READ, (c) => simpleReply(c, 0, Buffer.alloc(1024))],
  ['a simple error to a read', READ, (c) => simpleReply(c, 5)],
  ['data for a flush', FLUSH, (c) => both(c, dataChunk(c, 0, A))],
  ['an empty chunk that is not the last', FLUSH, (c) => chunk(c, 0)],
  ['an unknown chunk', FLUSH, (c) => chunk(c, 77, u32(1), true)],
  ['an error chunk without a number', FLUSH, (c) => chunk(c, 0x8001, u16(0), true)],
  ['an error chunk with error 0', FLUSH, (c) => chunk(c, 0x8001, Buffer.alloc(6), true)],
  ['an error string beyond its chunk', FLUSH, (c) => chunk(c, 0x8001, Buffer.concat([u32(5), u16(9)]), true)],
  ['an error chunk of a megabyte', FLUSH, (c) => chunk(c, 0x8001, Buffer.alloc(1 << 20, 1), true)],
  ['an unknown cookie', FLUSH, () => simpleReply(Buffer.alloc(8, 0xff), 0)],
  ['a second reply', FLUSH, (c) => Buffer.concat([simpleReply(c, 0), simpleReply(c, 0)])],
  ['bad magic', FLUSH, () => Buffer.from('HTTP/1.1 400 Bad Request')],
  ['no extents', STATUS, (c) => DONE(c)],
  ['an extent of no length', STATUS, (c) => status(c, u32(1, 0, 0))],
  ['extents behind the range', STATUS, (c) => status(c, u32(1, 1024, 0, 512, 0))],
  ['extents of an unknown context', STATUS, (c) => status(c, u32(2, 512, 0))],
  ['half an extent', STATUS, (c) => status(c, u32(1, 512))],
  ['two extents with REQ_ONE', STATUS_ONE, (c) => status(c, u32(1, 512, 0, 512, 0))],
  ['an extent longer than asked with REQ_ONE', STATUS_ONE, (c) => status(c, u32(1, 2048, 0))],
  ['a simple reply to a block status', STATUS, (c) => simpleReply(c, 0)],
];

t.test('replies that break the protocol end the connection', async (t) => {
  for (const [what, send, reply] of BROKEN) {
    const client = await connect(t, reply);
    const first = send(client);
    const other = client.request(wire.NBD_CMD_CACHE, 0, 0, 512);
    const results = await Promise.allSettled([first, other]);
    const reasons = results.map((result) => (result.status === 'rejected' ? result.reason.code : 'ok'));
    t.same(reasons, [what === 'a second reply' ? 'ok' : 'EPROTO', 'EPROTO'], what);
    await client.closed;
  }
});

t.test('a structured reply that was not negotiated ends the connection', async (t) => {
  const client = await connect(t, (c) => both(c, dataChunk(c, 0, A)), false);
  await t.rejects(client.read(0, 512), { code: 'EPROTO' });
});

t.test('an end in the middle of a payload rejects the read', async (t) => {
  const client = await connect(t, (c, _n, socket) => {
    socket.end(dataChunk(c, 0, A).subarray(0, 100));
    return Buffer.alloc(0);
  });
  await t.rejects(client.read(0, 512), { code: 'ENOTCONN' });
});

t.test('disconnect waits for the replies unless it is told to be early', async (t) => {
  // This server hangs up as soon as it sees DISC, and replies a turn later than it could.
  const script: Script = (c, _n, socket) => {
    setImmediate(() => {
      if (socket.writable) socket.write(simpleReply(c, 0));
    });
    return Buffer.alloc(0);
  };
  for (const early of [false, true]) {
    const client = await connect(t, script);
    const flushed = client.flush().then(
      () => 'ok',
      (error) => error.code,
    );
    await client.disconnect({ early });
    t.equal(await flushed, early ? 'ENOTCONN' : 'ok');
  }
});
