// Devices by bytes before clients that nobody here wrote: libnbd's tools and shell, QEMU's, nbdkit's nbd plugin, nbd-client.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ZeroCall } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { type Ram, ram, running } from '../support/byte_server.ts';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';
import { succeed, tool, writeMixedFile } from '../system/conformance/tools.ts';

const MIB = 1 << 20;
const PYTHON = '/usr/bin/python3';
const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Device {
  readonly device: Ram;
  readonly uri: string;
  readonly socketPath: string;
}

/** Everything that a device can have, each call a turn later than it was asked. */
async function served(t: Test, size = 16 * MIB): Promise<Device> {
  const { bytes, read, write, ...rest } = ram({ size });
  const clear = async (offset: number, length: number): Promise<void> => {
    await turn();
    bytes.fill(0, offset, offset + length);
  };
  const device = {
    ...rest,
    bytes,
    fastZero: true,
    read: (offset: number, into: Uint8Array) =>
      turn().then(() => void into.set(bytes.subarray(offset, offset + into.length))),
    write: (offset: number, from: Uint8Array) => turn().then(() => void bytes.set(from, offset)),
    trim: clear,
    zero: async (offset: number, length: number, { fast }: ZeroCall) => {
      if (fast && length > MIB) throw Object.assign(new Error('too long'), { code: 'ENOTSUP' });
      await clear(offset, length);
    },
    flush: turn,
  };
  const socketPath = join(tempFolder(t), 'nbd.sock');
  await running(t, device, {}, socketPath);
  return { device, socketPath, uri: `nbd+unix:///ram?socket=${socketPath}` };
}

t.test('nbdinfo shows what follows from the methods', { skip: missing('nbdinfo') }, async (t) => {
  const { uri } = await served(t);
  const { exports } = JSON.parse(await succeed(t, 'nbdinfo', ['--json', uri]));
  t.match(exports, [
    {
      'export-name': 'ram',
      'export-size': 16 * MIB,
      is_read_only: false,
      can_df: true,
      can_flush: true,
      can_fua: true,
      can_fast_zero: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      block_size_preferred: 4096,
    },
  ]);
});

t.test('nbdcopy there and back over 4 connections', { skip: missing('nbdcopy') }, async (t) => {
  const { uri, device } = await served(t);
  const folder = tempFolder(t);
  writeMixedFile(join(folder, 'in'), 16 * MIB);
  await succeed(t, 'nbdcopy', ['--connections=4', join(folder, 'in'), uri]);
  t.ok(device.bytes.equals(readFileSync(join(folder, 'in'))));
  await succeed(t, 'nbdcopy', ['--connections=4', uri, join(folder, 'out')]);
  t.ok(readFileSync(join(folder, 'out')).equals(device.bytes));
});

t.test('qemu-img converts and compares', { skip: missing('qemu-img') }, async (t) => {
  const { uri } = await served(t);
  const path = join(tempFolder(t), 'in');
  writeMixedFile(path, 16 * MIB);
  await succeed(t, 'qemu-img', ['convert', '-n', '-W', '-m', '8', '-f', 'raw', '-O', 'raw', path, uri]);
  await succeed(t, 'qemu-img', ['compare', '-f', 'raw', '-F', 'raw', path, uri]);
});

t.test('qemu-io with patterns and unaligned ranges', { skip: missing('qemu-io') }, async (t) => {
  const { uri } = await served(t);
  const commands = [
    ...['write -P 7 3000 100000', 'read -P 7 3000 100000', 'read -P 0 0 3000', 'write -f -P 8 8192 4096', 'flush'],
    ...['discard 4096 8192', 'read -P 0 4096 8192', 'write -z 20000 9000', 'read -P 0 20000 9000', 'write -z -u 1M 2M'],
    ...['write -P 9 1M 11M', 'aio_read -P 9 1M 11M', 'aio_write -P 1 0 1M', 'aio_flush', 'read -P 1 0 1M'],
  ];
  const out = await succeed(t, 'qemu-io', ['-f', 'raw', ...commands.flatMap((c) => ['-c', c]), uri]);
  t.notMatch(out, /failed|error/i);
});

const noModule = (await tool(t, PYTHON, ['-c', 'import nbd'])).code === 0 ? false : 'python3-libnbd is not installed';
t.test('libnbd: fast zeroes, FUA, many in flight, what is not allowed', { skip: noModule }, async (t) => {
  const { socketPath } = await served(t);
  const script = `
import nbd, sys
for structured in (True, False):
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.set_request_structured_replies(structured)
    h.add_meta_context("base:allocation")
    h.connect_unix(sys.argv[1])
    def fails(errno, f):
        try:
            f()
        except nbd.Error as e:
            assert e.errno == errno, (e.errno, errno, e.string)
        else:
            raise AssertionError("no error")
        assert len(h.pread(512, 0)) == 512
    h.pwrite(b"x" * 8192, 100, nbd.CMD_FLAG_FUA)
    h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
    fails("ENOTSUP", lambda: h.zero(2 << 20, 0, nbd.CMD_FLAG_FAST_ZERO))
    h.zero(2 << 20, 0)
    fails("ENOSPC", lambda: h.pwrite(b"x", h.get_size()))
    fails("EINVAL", lambda: h.pread(512, h.get_size()))
    cookies = [h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray([i]) * 4096), i * 4096) for i in range(200)]
    for cookie in cookies:
        while not h.aio_command_completed(cookie): h.poll(-1)
    for i in range(200): assert h.pread(4096, i * 4096) == bytearray([i]) * 4096
    if structured:
        seen = []
        h.block_status(1 << 20, 0, lambda name, offset, entries, err: seen.append((name, offset, entries)))
        assert seen == [("base:allocation", 0, [1 << 20, 0])], seen
    h.flush()
    h.shutdown()
`;
  await succeed(t, PYTHON, ['-', socketPath], { stdin: script });
});

t.test("nbdkit's nbd plugin in between", { skip: missing('nbdkit', 'nbdcopy') }, async (t) => {
  const { uri, device } = await served(t);
  const path = join(tempFolder(t), 'in');
  writeMixedFile(path, 16 * MIB);
  const copy = `nbdcopy '${path}' "$uri" && nbdcopy "$uri" - | cmp - '${path}'`;
  await succeed(t, 'nbdkit', ['-U', '-', '--filter=cow', '--filter=retry', 'nbd', `uri=${uri}`, '--run', copy]);
  t.ok(device.bytes.equals(Buffer.alloc(16 * MIB)), 'the cow filter kept it as it was');
  await succeed(t, 'nbdkit', ['-U', '-', 'nbd', `uri=${uri}`, '--run', copy]);
  t.ok(device.bytes.equals(readFileSync(path)));
});

t.test('nbd-client lists', { skip: missing('nbd-client') }, async (t) => {
  const { server } = await running(t, [ram({}), ram({ name: 'other' })]);
  const { stdout } = await tool(t, 'nbd-client', ['-l', '127.0.0.1', String(server.port)]);
  t.match(stdout, /^ram$/m);
  t.match(stdout, /^other$/m);
});

t.test('nbddump and a size that is odd', { skip: missing('nbddump') }, async (t) => {
  const device = ram({ size: 1001 });
  device.bytes.fill('odd sizes', 990);
  const socketPath = join(tempFolder(t), 'nbd.sock');
  await running(t, device, {}, socketPath);
  t.match(
    await succeed(t, 'nbddump', [`nbd+unix:///?socket=${socketPath}`]),
    /00000003e0: 64 20 73 69 7a 65 73 6f {2}64 /,
  );
});
