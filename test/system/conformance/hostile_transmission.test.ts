// Clients that lie, stop in the middle, or never read, after a good handshake. Others are served on, in bounded memory.
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { FIXED, infoData, option, u32 } from '../../support/handshake_driver.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { residentBytes } from './memory.ts';
import { RawSocket, request, stillServes } from './raw_socket.ts';
import { noise } from './tools.ts';

const MIB = 1 << 20;

/** One server outlives all of them. */
const server = await startServer(t, { size: '6GiB', set: ['pool.max=8MiB'] });

function hostile(name: string, attack: (t: Test, server: RunningServer) => Promise<void>, bound = 48): void {
  t.test(name, async (t) => {
    await stillServes(t, server);
    const before = residentBytes(server.pid);
    await attack(t, server);
    await stillServes(t, server);
    const grown = residentBytes(server.pid) - before;
    t.ok(grown < bound * MIB, `resident memory grew by ${(grown / MIB).toFixed(1)} MiB`);
  });
}

hostile('garbage instead of a request', async (t, server) => {
  for (const bytes of [
    Buffer.alloc(28, 0xff),
    Buffer.alloc(28),
    noise(1, 100_000),
    request(0, 0n, 4096, { magic: 1 }),
  ]) {
    const raw = await RawSocket.transmitting(t, server.socketPath);
    raw.send(bytes);
    await raw.hungUp();
  }
});

hostile('a good request, then garbage: what came before is answered or dropped, never mixed up', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  raw.send(request(wire.NBD_CMD_READ, 0n, 512));
  t.equal(await raw.simple(), 0);
  await raw.take(512);
  raw.send(noise(2, 1000));
  await raw.hungUp();
});

hostile('every length of a cut header, closed and half closed', async (t, server) => {
  for (let cut = 0; cut < wire.NBD_REQUEST_BYTES; cut += 3) {
    const raw = await RawSocket.transmitting(t, server.socketPath);
    raw.send(request(wire.NBD_CMD_WRITE, 0n, 4096).subarray(0, cut));
    if (cut % 2 === 0) {
      raw.socket.end();
      await raw.hungUp();
    } else {
      await raw.destroy();
    }
  }
});

hostile('a client that dies in the middle of its payload', async (t, server) => {
  const client = await server.connect();
  const old = noise(3, 64 * 4096);
  await client.write(0, old);
  for (const sent of [1, 4095, 4096, 4097, 30_000, 100_000]) {
    const raw = await RawSocket.transmitting(t, server.socketPath);
    raw.send(request(wire.NBD_CMD_WRITE, 0n, 64 * 4096), noise(sent, sent));
    await raw.destroy();
  }
  const now = await client.read(0, 64 * 4096);
  for (let page = 0; page < 64; page++) {
    const at = page * 4096;
    const is = (bytes: Buffer): boolean => now.subarray(at, at + 4096).equals(bytes.subarray(at, at + 4096));
    // Whole pages may have arrived; a page that did not arrive whole must be the old one.
    const whole = [4096, 4097, 30_000, 100_000].some((sent) => at + 4096 <= sent && is(noise(sent, sent)));
    if (!whole && !is(old)) t.fail(`page ${page} is neither the old nor a whole new one`);
  }
  await client.disconnect();
});

hostile('a large write that is aborted halfway, many times', async (t, server) => {
  const part = noise(4, 5 * MIB);
  for (let n = 0; n < 8; n++) {
    const raw = await RawSocket.transmitting(t, server.socketPath);
    raw.send(request(wire.NBD_CMD_WRITE, 64n * 1024n * 1024n, 11 * MIB));
    await new Promise((sent) => raw.socket.write(part, sent));
    await raw.destroy();
  }
});

hostile('lengths and offsets that wrap (2011-0530)', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  const offsets = [0n, 1n, -1n, -4096n, 1n << 63n, (1n << 53n) - 1n, 6n << 30n, (6n << 30n) - 1n];
  const commands = [
    ...[wire.NBD_CMD_READ, wire.NBD_CMD_TRIM, wire.NBD_CMD_CACHE, wire.NBD_CMD_WRITE_ZEROES],
    wire.NBD_CMD_BLOCK_STATUS,
  ];
  for (const type of commands) {
    for (const offset of offsets) {
      raw.send(request(type, offset, 0xffffffff));
      const fits = offset === 0n || offset === 1n;
      const error = await raw.simple();
      const allowed = type === wire.NBD_CMD_READ || type === wire.NBD_CMD_BLOCK_STATUS || !fits;
      if (allowed) t.ok(error === wire.NBD_EINVAL || error === wire.NBD_ENOSPC, `${type} at ${offset}: ${error}`);
      else t.equal(error, 0, `${type} at ${offset}`);
    }
  }
  raw.send(request(wire.NBD_CMD_WRITE, -4096n, 8192), Buffer.alloc(8192));
  t.equal(await raw.simple(), wire.NBD_ENOSPC);
});

hostile('unknown commands and a flush with a range', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  for (const type of [8, 9, 77, 0x7fff, 0xffff]) {
    raw.send(request(type, 0n, 4096));
    t.equal(await raw.simple(), wire.NBD_EINVAL, `command ${type}`);
  }
  raw.send(request(wire.NBD_CMD_FLUSH, 4096n, 4096));
  t.equal(await raw.simple(), wire.NBD_EINVAL);
});

hostile('a write of 4 GiB is refused without a buffer for it, and its payload swallowed', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  const before = residentBytes(server.pid);
  raw.send(request(wire.NBD_CMD_WRITE, 0n, 0xffffffff));
  const block = Buffer.alloc(MIB);
  for (let n = 0; n < 256; n++)
    if (!raw.socket.write(block)) await new Promise((room) => raw.socket.once('drain', room));
  t.ok(residentBytes(server.pid) - before < 32 * MIB);
  await raw.destroy();
});

hostile('a client that asks for thousands of reads and takes no reply', async (t, server) => {
  const good = await server.connect();
  await good.write(0, noise(5, 8 * MIB));
  const before = residentBytes(server.pid);
  const deaf = await Promise.all(Array.from({ length: 4 }, () => RawSocket.transmitting(t, server.socketPath)));
  const flood = Buffer.concat(
    Array.from({ length: 1000 }, (_, n) => request(wire.NBD_CMD_READ, BigInt(n % 8) << 20n, MIB)),
  );
  for (const raw of deaf) {
    raw.socket.pause();
    for (let n = 0; n < 5; n++) raw.send(flood);
  }
  // Others are served, at their own pace, while 20 GiB of replies wait.
  for (let n = 0; n < 200; n++) t.equal((await good.read((n % 16) * 65536, 65536)).length, 65536);
  const grown = residentBytes(server.pid) - before;
  t.ok(grown < 64 * MIB, `resident memory grew by ${(grown / MIB).toFixed(1)} MiB`);
  await Promise.all(deaf.map((raw) => raw.destroy()));
  await good.disconnect();
});

hostile('thousands of requests in one segment', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  raw.send(Buffer.concat(Array.from({ length: 20_000 }, () => request(wire.NBD_CMD_TRIM, 0n, 4096))));
  for (let n = 0; n < 20_000; n++) if ((await raw.simple()) !== 0) t.fail('a trim failed');
});

hostile('requests of which each is the smallest, byte by byte', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  raw.socket.setNoDelay(true);
  for (let n = 0; n < 20; n++) {
    const bytes = Buffer.concat([request(wire.NBD_CMD_WRITE, BigInt(4095 + n), 3), Buffer.from([n, n + 1, n + 2])]);
    for (const byte of bytes) await new Promise((sent) => raw.socket.write(Buffer.of(byte), sent));
    t.equal(await raw.simple(), 0);
  }
  raw.send(request(wire.NBD_CMD_READ, 4095n, 22));
  t.equal(await raw.simple(), 0);
  t.same([...(await raw.take(22))], [...Array.from({ length: 20 }, (_, n) => n), 20, 21]);
});

hostile('the option phase again, after GO', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  raw.send(option(wire.NBD_OPT_GO, infoData('swap0', wire.NBD_INFO_BLOCK_SIZE)));
  await raw.hungUp();
});

hostile('16 writes, DISC and a close at once: all of them land', async (t, server) => {
  const raw = await RawSocket.transmitting(t, server.socketPath);
  const pages = Array.from({ length: 16 }, (_, n) => noise(100 + n, 4096));
  raw.send(
    Buffer.concat([
      ...pages.flatMap((page, n) => [request(wire.NBD_CMD_WRITE, BigInt(n * 4096), 4096), page]),
      request(wire.NBD_CMD_DISC, 0n, 0),
    ]),
  );
  raw.socket.end();
  await raw.hungUp();
  const client = await server.connect();
  t.ok((await client.read(0, 16 * 4096)).equals(Buffer.concat(pages)));
  await client.disconnect();
});

hostile('a client without NO_ZEROES gets its 124 bytes, and then is in step', async (t, server) => {
  for (const [flags, pad] of [
    [FIXED, 0],
    [wire.NBD_FLAG_C_FIXED_NEWSTYLE, 124],
    [0, 124],
  ]) {
    const raw = await RawSocket.open(t, server.socketPath);
    await raw.take(18);
    raw.send(u32(flags), option(wire.NBD_OPT_EXPORT_NAME, 'swap0'), request(wire.NBD_CMD_READ, 0n, 512));
    t.equal((await raw.take(10)).readBigUInt64BE(0), 6n << 30n);
    t.ok((await raw.take(pad)).every((byte) => byte === 0));
    t.equal(await raw.simple(), 0);
    await raw.take(512);
    await raw.destroy();
  }
});

t.test('after all that it stops as any other', async (t) => t.match(await server.stop(), { code: 0 }));
