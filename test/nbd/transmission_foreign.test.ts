/** Clients that nobody here wrote: libnbd's tools and shell, qemu-io, fio. Each is skipped where it is not installed. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { serve } from '../support/nbd_server.ts';
import { RamDevice } from '../support/ram_device.ts';
import { tempFolder } from '../support/tmp.ts';

function missing(program: string, ...args: string[]): string | false {
  const { error, status } = spawnSync(program, args);
  return error !== undefined || status !== 0 ? `${program} is not installed` : false;
}

/** Runs a program while this process goes on serving. */
function run(program: string, args: string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        out = (out + text).slice(-16384);
      });
    }
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out }));
  });
}

const uri = (socketPath: string): string => `nbd+unix:///ram?socket=${socketPath}`;

t.test('nbdinfo', { skip: missing('nbdinfo', '--version') }, async (t) => {
  const device = new RamDevice();
  device.written.fill(1, 16, 32);
  const { socketPath } = await serve(t, device);
  const json = await run('nbdinfo', ['--json', uri(socketPath)]);
  t.equal(json.code, 0, json.out);
  t.match(JSON.parse(json.out), { exports: [{ 'export-name': 'ram', 'export-size': device.info.size }] });
  const map = await run('nbdinfo', ['--map', uri(socketPath)]);
  t.same(
    map.out
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/)),
    [
      ['0', '65536', '3', 'hole,zero'],
      ['65536', '65536', '0', 'data'],
      ['131072', String(device.info.size - 131072), '3', 'hole,zero'],
    ],
  );
});

t.test('nbdcopy there and back over 4 connections', { skip: missing('nbdcopy', '--version') }, async (t) => {
  const device = new RamDevice({ size: 64 * 1024 * 1024 });
  const { socketPath } = await serve(t, device);
  const folder = tempFolder(t);
  const data = Buffer.alloc(device.info.size);
  randomBytes(20 * 1024 * 1024).copy(data, 12 * 1024 * 1024 + 512);
  writeFileSync(join(folder, 'in'), data);
  for (const others of ['now', 'soon'] as const) {
    device.others = others;
    const there = await run('nbdcopy', ['--connections=4', join(folder, 'in'), uri(socketPath)]);
    t.equal(there.code, 0, there.out);
    t.ok(device.bytes.equals(data));
    const back = await run('nbdcopy', ['--connections=4', uri(socketPath), join(folder, `out-${others}`)]);
    t.equal(back.code, 0, back.out);
    // Its exit code alone has lied before (CVE-2022-0485).
    t.ok(readFileSync(join(folder, `out-${others}`)).equals(data));
  }
});

t.test('qemu-io with patterns and unaligned ranges', { skip: missing('qemu-io', '--version') }, async (t) => {
  const { socketPath } = await serve(t, new RamDevice());
  const commands = [
    'write -P 7 3000 100000',
    'read -P 7 3000 100000',
    'read -P 0 0 3000',
    'write -f -P 8 8192 4096',
    'flush',
    'discard 4096 8192',
    'read -P 0 4096 8192',
    'write -z 20000 9000',
    'read -P 0 20000 9000',
    'write -P 9 1M 11M',
    'read -P 9 1M 11M',
  ];
  const { code, out } = await run('qemu-io', ['-f', 'raw', ...commands.flatMap((c) => ['-c', c]), uri(socketPath)]);
  t.equal(code, 0, out);
  t.notMatch(out, /failed|error/i);
});

t.test('nbdsh sends what is not allowed', { skip: missing('/usr/bin/python3', '-c', 'import nbd') }, async (t) => {
  const { socketPath } = await serve(t, new RamDevice());
  const script = `
import nbd, sys
for structured in (True, False):
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.set_request_structured_replies(structured)
    h.set_export_name("ram")
    h.connect_unix(sys.argv[1])
    size = h.get_size()
    def fails(errno, f):
        try:
            f()
        except nbd.Error as e:
            assert e.errno == errno, (e.errno, errno, e.string)
        else:
            raise AssertionError("no error")
        assert len(h.pread(512, 0)) == 512
    fails("EINVAL", lambda: h.pread(512, size))
    fails("EINVAL", lambda: h.pread(512, 0, 1 << 9))
    fails("ENOSPC", lambda: h.pwrite(b"x" * 512, size))
    fails("EINVAL", lambda: h.pwrite(b"x" * 512, 0, nbd.CMD_FLAG_DF))
    fails("EINVAL", lambda: h.trim(512, size))
    fails("ENOSPC", lambda: h.zero(512, size))
    fails("EINVAL", lambda: h.zero(512, 0, nbd.CMD_FLAG_FAST_ZERO))
    fails("EINVAL", lambda: h.cache(512, size))
    h.flush(nbd.CMD_FLAG_FUA)
    h.shutdown()
`;
  const { code, out } = await run('/usr/bin/python3', ['-c', script, socketPath]);
  t.equal(code, 0, out);
});

t.test('fio verifies what it wrote, 4 jobs at depth 16', { skip: missing('fio', '--version') }, async (t) => {
  const device = new RamDevice({ size: 64 * 1024 * 1024 });
  const { socketPath, counters } = await serve(t, device);
  const { code, out } = await run('fio', [
    ...['--name=v', '--ioengine=nbd', `--uri=${uri(socketPath)}`, '--rw=randwrite', '--bs=4k', '--iodepth=16'],
    ...[
      '--numjobs=4',
      '--size=16M',
      '--offset_increment=16M',
      '--verify=crc32c',
      '--verify_state_save=0',
      '--verify_fatal=1',
      '--thread',
    ],
  ]);
  t.equal(code, 0, out);
  t.ok(counters.reads >= 16384 && counters.writes >= 16384);
});
