// What has brought down NBD servers before transmission even begins; the classes of their CVEs, each against the process.
import { once } from 'node:events';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { FIXED, infoData, metaData, option, u16, u32 } from '../../support/handshake_driver.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { residentBytes } from './memory.ts';
import { RawSocket, request, stillServes } from './raw_socket.ts';

const MIB = 1 << 20;

/** One server for all cases that need no setting. */
const usual = await startServer(t);

/** Runs a case on a server that must be well afterwards, and must not have grown by more than 48 MiB. */
function hostile(name: string, attack: (t: Test, server: RunningServer) => Promise<void>, set?: string[]): void {
  t.test(name, async (t) => {
    const server = set === undefined ? usual : await startServer(t, { set });
    await stillServes(t, server);
    const before = residentBytes(server.pid);
    await attack(t, server);
    await stillServes(t, server);
    const grown = residentBytes(server.pid) - before;
    t.ok(grown < 48 * MIB, `resident memory grew by ${(grown / MIB).toFixed(1)} MiB`);
    if (set !== undefined) t.match(await server.stop(), { code: 0 });
  });
}

hostile('closed at each step of the negotiation (2011-1925, 2017-7539, 2017-9524)', async (t, server) => {
  const whole = Buffer.concat([
    u32(FIXED),
    option(wire.NBD_OPT_LIST),
    option(wire.NBD_OPT_STRUCTURED_REPLY),
    option(wire.NBD_OPT_SET_META_CONTEXT, metaData('swap0', 'base:allocation')),
    option(wire.NBD_OPT_GO, infoData('swap0', wire.NBD_INFO_BLOCK_SIZE)),
    request(wire.NBD_CMD_READ, 0n, 4096),
  ]);
  for (let cut = 0; cut <= whole.length; cut += 3) {
    const raw = await RawSocket.open(t, server.socketPath);
    raw.send(whole.subarray(0, cut));
    if (cut % 2 === 0) {
      // Half closed, so that the server has to read to the end of what was sent.
      raw.socket.end();
      await raw.hungUp();
    } else {
      await raw.destroy();
    }
  }
});

hostile('an export that does not exist (2013-7441)', async (t, server) => {
  for (const name of ['nope', '', '\u0000', 'swap0x', 'swap', '../swap0']) {
    const raw = await RawSocket.greeted(t, server.socketPath);
    raw.send(option(wire.NBD_OPT_GO, infoData(name)));
    let { type } = await raw.reply();
    // The empty name is the default export.
    while (type === wire.NBD_REP_INFO) ({ type } = await raw.reply());
    if (name !== '') t.ok(type === wire.NBD_REP_ERR_UNKNOWN || type === wire.NBD_REP_ERR_INVALID, `${type}`);
    await raw.destroy();
    if (name === '') continue;
    const old = await RawSocket.greeted(t, server.socketPath);
    old.send(option(wire.NBD_OPT_EXPORT_NAME, name));
    await old.hungUp();
  }
});

hostile('export names from 256 to 4096 bytes and beyond (2017-15118, 2020-10761)', async (t, server) => {
  for (const length of [255, 256, 257, 3000, 4095, 4096, 4097, 65000]) {
    const raw = await RawSocket.greeted(t, server.socketPath);
    raw.send(option(wire.NBD_OPT_INFO, infoData('a'.repeat(length))));
    const { type, data } = await raw.reply();
    const refusals = [wire.NBD_REP_ERR_UNKNOWN, wire.NBD_REP_ERR_INVALID, wire.NBD_REP_ERR_TOO_BIG];
    t.ok(refusals.includes(type), `${length}: ${type}`);
    t.ok(data.length <= 4096, 'the message is no longer than a string may be');
    raw.send(option(wire.NBD_OPT_LIST));
    t.equal((await raw.reply()).type, wire.NBD_REP_SERVER, 'in step');
    await raw.destroy();
    const old = await RawSocket.greeted(t, server.socketPath);
    old.send(option(wire.NBD_OPT_EXPORT_NAME, 'a'.repeat(length)));
    await old.hungUp();
  }
});

hostile('option lengths up to 4 GiB (2017-15119)', async (t, server) => {
  for (const code of [wire.NBD_OPT_EXPORT_NAME, wire.NBD_OPT_LIST, wire.NBD_OPT_GO, wire.NBD_OPT_STARTTLS, 77]) {
    for (const length of [0xffffffff, 0xfffffffe, 0x80000000, 0x7fffffff, 16 * MIB]) {
      const raw = await RawSocket.greeted(t, server.socketPath);
      raw.send(option(code, '', length), Buffer.alloc(256 * 1024, 'x'));
      await raw.hungUp();
    }
  }
});

hostile('name lengths that wrap around (2022-26495), INFO longer than 1 KiB (2022-26496)', async (t, server) => {
  for (const code of [wire.NBD_OPT_INFO, wire.NBD_OPT_GO]) {
    for (const length of [0xffffffff, 0xfffffffe, 0xfffffffa, 0x80000000, 12, 13]) {
      const raw = await RawSocket.greeted(t, server.socketPath);
      raw.send(option(code, Buffer.concat([u32(length), Buffer.from('swap0'), u16(0)])));
      t.equal((await raw.reply()).type, wire.NBD_REP_ERR_INVALID);
      const many = Array.from({ length: 2000 }, (_, n) => n & 0xffff);
      raw.send(option(wire.NBD_OPT_INFO, infoData('swap0', ...many)));
      let { type } = await raw.reply();
      while (type === wire.NBD_REP_INFO) ({ type } = await raw.reply());
      t.equal(type, wire.NBD_REP_ACK);
      await raw.destroy();
    }
  }
});

hostile('context queries whose lengths lie', async (t, server) => {
  const lies = [
    Buffer.concat([u32(0xffffffff), Buffer.from('swap0')]),
    Buffer.concat([u32(5), Buffer.from('swap0'), u32(0xffffffff)]),
    Buffer.concat([u32(5), Buffer.from('swap0'), u32(1), u32(0xffffffff), Buffer.from('base:')]),
    Buffer.concat([u32(5), Buffer.from('swap0'), u32(2), u32(5), Buffer.from('base:')]),
  ];
  for (const code of [wire.NBD_OPT_LIST_META_CONTEXT, wire.NBD_OPT_SET_META_CONTEXT]) {
    const raw = await RawSocket.greeted(t, server.socketPath);
    raw.send(option(wire.NBD_OPT_STRUCTURED_REPLY));
    t.equal((await raw.reply()).type, wire.NBD_REP_ACK);
    for (const lie of lies) {
      raw.send(option(code, lie));
      t.equal((await raw.reply()).type, wire.NBD_REP_ERR_INVALID);
    }
    await raw.destroy();
  }
});

hostile('STRUCTURED_REPLY before STARTTLS (2021-3716): no TLS is spoken, nothing is upgraded', async (t, server) => {
  const raw = await RawSocket.greeted(t, server.socketPath);
  raw.send(option(wire.NBD_OPT_STRUCTURED_REPLY), option(wire.NBD_OPT_STARTTLS), option(wire.NBD_OPT_STARTTLS, 'data'));
  t.equal((await raw.reply()).type, wire.NBD_REP_ACK);
  for (let n = 0; n < 2; n++) t.ok((await raw.reply()).type >= wire.NBD_REP_ERR_UNSUP);
});

hostile('transmission requests in the middle of the negotiation (2019-14851)', async (t, server) => {
  for (const early of [request(wire.NBD_CMD_READ, 0n, 4096), request(wire.NBD_CMD_DISC, 0n, 0)]) {
    const raw = await RawSocket.greeted(t, server.socketPath);
    raw.send(early);
    await raw.hungUp();
  }
});

hostile('garbage instead of client flags, of an option, of everything', async (t, server) => {
  for (const flags of [0xffffffff, 4, 0x80000001]) {
    const raw = await RawSocket.greeted(t, server.socketPath, flags);
    await raw.hungUp();
  }
  for (let seed = 1; seed <= 20; seed++) {
    const raw = await RawSocket.open(t, server.socketPath);
    raw.send(Buffer.alloc(seed * 1000, `GET /${seed} HTTP/1.1\r\n`));
    await raw.hungUp();
  }
});

hostile('endless options', async (t, server) => {
  const raw = await RawSocket.greeted(t, server.socketPath);
  const flood = Buffer.concat(Array.from({ length: 5000 }, () => option(wire.NBD_OPT_LIST)));
  raw.send(flood);
  await raw.hungUp();
});

hostile(
  'a handshake that never ends meets its deadline (2024-7409)',
  async (t, server) => {
    const silent = await Promise.all(Array.from({ length: 4 }, () => RawSocket.open(t, server.socketPath)));
    const slow = await RawSocket.greeted(t, server.socketPath);
    const drip = option(wire.NBD_OPT_GO, infoData('a'.repeat(4000)));
    let at = 0;
    const timer = setInterval(() => slow.send(drip.subarray(at, ++at)), 20);
    t.teardown(() => clearInterval(timer));
    // If each byte bought more time, the drip would go on for longer than anybody here waits for a server to hang up.
    await Promise.all([...silent, slow].map((raw) => raw.hungUp()));
    t.ok(at > 0);
  },
  ['listen.handshakeTimeout=300ms'],
);

hostile(
  'no more connections than the cap, and the next one is served once one leaves',
  async (t, server) => {
    const held = await Promise.all(Array.from({ length: 8 }, () => RawSocket.transmitting(t, server.socketPath)));
    for (let n = 0; n < 20; n++) await (await RawSocket.open(t, server.socketPath)).hungUp();
    held[3].send(request(wire.NBD_CMD_READ, 0n, 4096));
    t.equal(await held[3].simple(), 0, 'those inside are served on');
    await Promise.all(held.map((raw) => raw.destroy()));
    // The lanes tell of an end a moment later; until then the door is shut. One place stays free for who comes next.
    for (;;) {
      const again = await Promise.all(Array.from({ length: 7 }, () => RawSocket.open(t, server.socketPath)));
      const greetings = await Promise.all(again.map((raw) => raw.take(18).catch(() => null)));
      await Promise.all(again.map((raw) => raw.destroy()));
      if (!greetings.includes(null)) break;
    }
  },
  ['listen.maxConnections=8'],
);

// 2024-7409: QEMU used a freed server when clients that had never negotiated were still there at its stop.
t.test('a stop does not wait for clients that never negotiated', async (t) => {
  const server = usual;
  const strays = await Promise.all(Array.from({ length: 50 }, () => RawSocket.open(t, server.socketPath)));
  await Promise.all(strays.map((raw) => raw.take(18)));
  t.match(await server.stop(), { code: 0, signal: null });
  await Promise.all(strays.map((raw) => raw.hungUp()));
});

t.test('connecting alone opens no image and costs next to nothing (2019-14850)', async (t) => {
  const server = await startServer(t, { set: ['listen.maxConnections=1000'] });
  await stillServes(t, server);
  const before = residentBytes(server.pid);
  const idle: RawSocket[] = [];
  // No more at a time than the backlog of the socket takes.
  for (let n = 0; n < 5; n++) {
    const some = await Promise.all(Array.from({ length: 100 }, () => RawSocket.open(t, server.socketPath)));
    await Promise.all(some.map((raw) => raw.take(18)));
    idle.push(...some);
  }
  const each = (residentBytes(server.pid) - before) / idle.length;
  t.ok(each < 64 * 1024, `${(each / 1024).toFixed(1)} KiB per idle connection`);
  await stillServes(t, server);
  server.child.kill('SIGTERM');
  await once(server.child, 'exit');
});
