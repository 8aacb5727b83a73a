// libnbd with its own checks off sends what no client should. Each request gets its error, and the stream stays in step.
import t, { type Test } from 'tap';
import { startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import type { RunningServer } from '../../support/zswapd.ts';
import { residentBytes } from './memory.ts';
import { noise, succeed, tool } from './tools.ts';

/** The python that libnbd's module was packaged for; another one may be in front on the PATH. */
const PYTHON = '/usr/bin/python3';

async function unavailable(): Promise<string | false> {
  if (missing('nbdsh') !== false) return missing('nbdsh');
  const { code } = await tool({ teardown: () => undefined }, PYTHON, ['-c', 'import nbd']);
  return code === 0 ? false : `${PYTHON} has no module nbd (python3-libnbd)`;
}

const skip = await unavailable();
const MIB = 1 << 20;

/** Runs code with a connected handle `h`; `err(name, call)` prints the error of a call that has to fail. */
async function nbdsh(t: Test, server: RunningServer, code: string): Promise<string[]> {
  const script = `
import nbd, errno, sys
uri = sys.argv[1]
M = 1 << 20
def connect(structured=True, context=True):
    h = nbd.NBD()
    h.set_strict_mode(0)
    if not structured: h.set_request_structured_replies(False)
    if context: h.add_meta_context("base:allocation")
    h.connect_uri(uri)
    return h
def err(what, call):
    try:
        call()
        print(what, "ok")
    except nbd.Error as e:
        print(what, e.errno)
def alive(h):
    h.pwrite(b"x" * 4096, 0)
    assert h.pread(4096, 0) == b"x" * 4096
    print("alive")
h = connect()
S = h.get_size()
${code}
alive(h)
`;
  const out = await succeed(t, PYTHON, ['-', server.unixUri], { stdin: script });
  return out.trim().split('\n');
}

t.test('ranges past the end', { skip }, async (t) => {
  const server = await startServer(t);
  const out = await nbdsh(
    t,
    server,
    `
for structured in (True, False):
    h = connect(structured)
    err("read", lambda: h.pread(4096, S))
    err("read across", lambda: h.pread(8192, S - 4096))
    err("write", lambda: h.pwrite(b"1" * 4096, S))
    err("write across", lambda: h.pwrite(b"1" * 8192, S - 4096))
    err("trim", lambda: h.trim(8192, S - 4096))
    err("zero", lambda: h.zero(8192, S - 4096))
    err("zero 4 GiB", lambda: h.zero(0xffffffff, 4096))
    err("trim 4 GiB", lambda: h.trim(0xffffffff, 4096))
    err("cache", lambda: h.cache(8192, S - 4096))
    err("wraps", lambda: h.pread(4096, 0x7ffffffffffffff0))
    err("wraps", lambda: h.pwrite(b"1" * 4096, 0x7ffffffffffffff0))
`,
  );
  const once = [
    ...['read EINVAL', 'read across EINVAL', 'write ENOSPC', 'write across ENOSPC', 'trim EINVAL', 'zero ENOSPC'],
    ...['zero 4 GiB ENOSPC', 'trim 4 GiB EINVAL', 'cache EINVAL', 'wraps EINVAL', 'wraps ENOSPC'],
  ];
  t.same(out, [...once, ...once, 'alive']);
  t.equal((await server.stats()).pool.errors, 22);
});

t.test('unknown flags, FUA that is not offered, empty requests', { skip }, async (t) => {
  const server = await startServer(t);
  const out = await nbdsh(
    t,
    server,
    `
assert not h.can_fua() and not h.can_flush()
err("fua write", lambda: h.pwrite(b"1" * 4096, 0, nbd.CMD_FLAG_FUA))
err("fua trim", lambda: h.trim(4096, 0, nbd.CMD_FLAG_FUA))
err("flush", lambda: h.flush())
err("fast zero", lambda: h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO))
err("no hole on trim", lambda: h.trim(4096, 0, nbd.CMD_FLAG_NO_HOLE))
err("df on write", lambda: h.pwrite(b"1" * 4096, 0, nbd.CMD_FLAG_DF))
err("req one on read", lambda: h.pread(4096, 0, nbd.CMD_FLAG_REQ_ONE))
for bit in range(16):
    if (1 << bit) not in (nbd.CMD_FLAG_DF,):
        err("read flag %d" % bit, lambda: h.pread(4096, 0, 1 << bit))
err("empty read", lambda: h.pread(0, 0))
err("empty write", lambda: h.pwrite(b"", 0))
err("empty trim", lambda: h.trim(0, 0))
err("empty zero", lambda: h.zero(0, 0))
err("empty read at the end", lambda: h.pread(0, S))
`,
  );
  t.equal(out.at(-1), 'alive');
  t.equal(out.length, 7 + 15 + 5 + 1);
  for (const line of out.slice(0, 22)) t.match(line, / EINVAL$/);
});

t.test('reads and writes beyond the maximum block size', { skip }, async (t) => {
  const server = await startServer(t, { size: '6GiB' });
  const resident = residentBytes(server.pid);
  const out = await nbdsh(
    t,
    server,
    `
for structured in (True, False):
    h = connect(structured)
    err("64 MiB read", lambda: h.pread(64 * M, 0))
    err("33 MiB write", lambda: h.pwrite(b"1" * (33 * M), 0))
    err("32 MiB write", lambda: h.pwrite(b"2" * (32 * M), M))
    assert h.pread(32 * M, M) == b"2" * (32 * M)
`,
  );
  const once = ['64 MiB read EINVAL', '33 MiB write EINVAL', '32 MiB write ok'];
  t.same(out, [...once, ...once, 'alive']);
  t.ok(
    residentBytes(server.pid) - resident < 200 * MIB,
    `resident memory grew by ${residentBytes(server.pid) - resident}`,
  );
});

t.test('DF: one chunk up to a bound, EOVERFLOW beyond it', { skip }, async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.write(0, noise(1, 64 * 1024));
  await client.disconnect();
  const out = await nbdsh(
    t,
    server,
    `
chunks = []
h.pread_structured(65536, 0, lambda buf, off, status, error: chunks.append((off, len(buf))) or 0, nbd.CMD_FLAG_DF)
print(chunks)
err("df 1 MiB", lambda: h.pread(M, 0, nbd.CMD_FLAG_DF))
h = connect(False)
err("df on simple replies", lambda: h.pread(4096, 0, nbd.CMD_FLAG_DF))
`,
  );
  t.same(out, ['[(0, 65536)]', 'df 1 MiB EOVERFLOW', 'df on simple replies EINVAL', 'alive']);
});

// 2025-47711 and 2025-47712: nbdkit died of an extent beyond 32 bits, and of a length that rounded up to 0.
t.test('BLOCK_STATUS with odd lengths, and where it was not negotiated', { skip }, async (t) => {
  const server = await startServer(t, { size: '8GiB' });
  const out = await nbdsh(
    t,
    server,
    `
at = (4 << 30) + (1 << 29)
h.pwrite(b"d" * 4096, at)
def status(length, offset, flags=0):
    found = []
    h.block_status(length, offset, lambda context, off, extents, error: found.extend(extents) or 0, flags)
    print(found, sum(found[0:-2:2]) < length)
status(0xffffffff, 0)
status(0xffffffff, 1)
status(0xffffffff, 4 << 30)
status(0xfffffe01, (4 << 30) + 511)
status(4097, at - 4095)
status(1, at)
status(0xffffffff, 0, nbd.CMD_FLAG_REQ_ONE)
err("empty", lambda: status(0, 0))
err("past the end", lambda: status(0xffffffff, 5 << 30))
h = connect(context=False)
err("not negotiated", lambda: h.block_status(4096, 0, lambda *a: 0))
h = connect(structured=False, context=False)
err("simple replies", lambda: h.block_status(4096, 0, lambda *a: 0))
`,
  );
  t.match(out, [
    // One answer is about 2^18 blocks.
    '[1073741824, 3] True',
    '[1073741823, 3] True',
    '[536870912, 3, 4096, 0, 536866816, 3] True',
    '[536870401, 3, 4096, 0, 536866816, 3] True',
    /^\[4095, 3, \d+, 0\] True$/,
    /^\[\d+, 0\] True$/,
    '[1073741824, 3] True',
    'empty EINVAL',
    'past the end EINVAL',
    'not negotiated EINVAL',
    'simple replies EINVAL',
    'alive',
  ]);
});

t.test('a cookie is returned bit by bit, and 64 requests may be out at once', { skip }, async (t) => {
  const server = await startServer(t);
  const out = await nbdsh(
    t,
    server,
    `
import random
bufs = {}
for n in range(64):
    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray([n + 1]) * 8192), n * 8192)
while h.aio_in_flight() > 0: h.poll(-1)
for n in range(64):
    b = nbd.Buffer(8192)
    bufs[n] = b
    h.aio_pread(b, n * 8192)
while h.aio_in_flight() > 0: h.poll(-1)
print(all(bufs[n].to_bytearray() == bytearray([n + 1]) * 8192 for n in bufs))
`,
  );
  t.same(out, ['True', 'alive']);
});
