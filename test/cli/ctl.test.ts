// `zswapd ctl` as a process, and a script for the kernel's files with nothing changed but how a file is read and written.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { type CtlVerb, ctl } from '#src/cli/ctl.js';
import { startServer } from '../support/one_thread.ts';
import { run, runCommand } from '../support/run_process.ts';
import { runEach } from '../support/run_zswapd.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN } from '../support/zswapd.ts';

t.setTimeout(120_000);

t.test('files are listed, read and set; a mistake is one line with its kernel name, and exit 1', async (t) => {
  const server = await startServer(t, { set: ['pool.max=64MiB'] });
  const ctl = (...args: string[]) => run(MAIN, ['ctl', ...args, '--control', server.controlPath]);
  t.same(await ctl('ls', '/'), { code: 0, stdout: 'block\ncgroup\ndebug\nparameters\n', stderr: '' });
  t.match(await ctl('ls', '-l', '/parameters'), { code: 0, stdout: /^-rw-r--r-- pool\.max$/m });
  t.same(await ctl('ls', '/parameters/enabled'), { code: 0, stdout: '/parameters/enabled\n', stderr: '' });
  const before = await run(MAIN, ['ctl', '--control', server.controlPath, 'get', '/parameters/enabled']);
  t.same(before, { code: 0, stdout: 'Y\n', stderr: '' }, 'the socket in front of the verb');
  t.same(await ctl('get', '/parameters/protocol.entry'), { code: 0, stdout: 'pin-validate\n', stderr: '' });
  t.same(await ctl('set', '/parameters/pool.max', '8M'), { code: 0, stdout: '', stderr: '' });
  t.same(await ctl('get', '/parameters/pool.max'), { code: 0, stdout: `${8 * 2 ** 20}\n`, stderr: '' });
  const refused: [RegExp, ...string[]][] = [
    [/^zswapd ctl: get \/cgroup\/x: ENOENT: [^\n]+\n$/, 'get', '/cgroup/x'],
    [/^zswapd ctl: ls \/cgroup\/\.\.: EINVAL: [^\n]+\n$/, 'ls', '/cgroup/..'],
    [/^zswapd ctl: get : EINVAL: [^\n]+\n$/, 'get', ''],
    [/^zswapd ctl: get \/x{5000}: ENAMETOOLONG: [^\n]+\n$/, 'get', `/${'x'.repeat(5000)}`],
    [/^zswapd ctl: set \/parameters\/pool.max: EINVAL: "-10M" [^\n]+\n$/, 'set', '/parameters/pool.max', '-10M'],
    [/^zswapd ctl: set \/parameters\/pool.max: EINVAL: "" [^\n]+\n$/, 'set', '/parameters/pool.max', ''],
    [/^zswapd ctl: set \/parameters\/pool.max: E2BIG: [^\n]+\n$/, 'set', '/parameters/pool.max', 'x'.repeat(4097)],
    [/^zswapd ctl: set \/parameters\/zpool: EACCES: [^\n]+\n$/, 'set', '/parameters/zpool', 'zbud'],
    [/^zswapd ctl: mkdir \/parameters\/a: EPERM: [^\n]+\n$/, 'mkdir', '/parameters/a'],
    [/^zswapd ctl: mkdir \/cgroup\/swap0: EEXIST: [^\n]+\n$/, 'mkdir', '/cgroup/swap0'],
    [/^zswapd ctl: mkdir \/cgroup\/.: EINVAL: the path is not UTF-8[^\n]*\n$/u, 'mkdir', '/cgroup/\u{fffd}'],
    [/^zswapd ctl: mkdir \/parameters\/a\/b: EPERM: [^\n]+\n$/, 'mkdir', '-p', '/parameters/a/b'],
    [/^zswapd ctl: mkdir \/cgroup\/memory.stat: ENOTDIR: [^\n]+\n$/, 'mkdir', '-p', '/cgroup/memory.stat'],
    [/^zswapd ctl: mkdir \/cgroup\/memory.stat\/a: ENOTDIR: [^\n]+\n$/, 'mkdir', '-p', '/cgroup/memory.stat/a'],
  ];
  const said = await runEach(refused.map(([, ...args]) => ['ctl', ...args, '--control', server.controlPath]));
  for (const [i, [stderr, ...args]] of refused.entries()) {
    t.match(said[i], { code: 1, stdout: '', stderr }, args.join(' ').slice(0, 60));
  }
  const made = { code: 0, stdout: '', stderr: '' };
  for (let i = 0; i < 2; i++) t.same(await ctl('mkdir', '-p', '/cgroup//a/b/c d/'), made);
  t.match(await ctl('ls', '/cgroup/a/b'), { code: 0, stdout: /^c d$/m });
});

t.test('a server that stands still is said to, whatever is asked of it', async (t) => {
  const listen = join(tempFolder(t), 'c');
  const silent = createServer().listen(listen);
  t.teardown(() => silent.close());
  await once(silent, 'listening');
  const answers = ['get', 'mkdir', 'rmdir', 'set'].map(async (verb) => {
    const value = verb === 'set' ? { value: '1' } : {};
    await t.rejects(
      ctl(() => listen, verb as CtlVerb, '/cgroup/a', { ...value, timeoutMs: 50 }),
      {
        message: verb === 'get' ? /no answer within 0\.05 s$/ : /no answer within 0\.05 s; it may be done yet$/,
      },
    );
  });
  await Promise.all(answers);
});

t.test('mistakes of usage are exit 2, whether a server runs or not', async (t) => {
  const mistakes = [['ctl'], ['ctl', 'cat', '/'], ['ctl', 'get'], ['ctl', 'set', '/a'], ['ctl', 'ls', '/', '/a']];
  const lines = [...mistakes, ['ctl', 'ls', '--nope', '/'], ['ctl', 'get', '/', '--control', '']];
  const said = await runEach(lines);
  for (const [i, args] of lines.entries()) t.match(said[i], { code: 2, stdout: '' }, args.join(' '));
  t.same(await run(MAIN, lines[0]), said[0]);
  t.match(await run(MAIN, ['ctl', 'get', '/a', '--control', '/does/not/exist']), {
    code: 1,
    stderr: /^\/does\/not\/exist: no server answers/,
  });
});

/** As people write them for /sys/module/zswap/parameters, /sys/kernel/debug/zswap and /sys/fs/cgroup. */
const SCRIPT = `
P=/parameters D=/debug/zswap R=/cgroup G=/cgroup/swap0
old=$(read_file $P/max_pool_percent)
for p in $P/enabled $P/same_filled_pages_enabled; do
  [ "$(read_file $p)" = Y ] || echo "$p is off"
done
write_file 1 $P/max_pool_percent
write_file 80 $P/accept_threshold_percent
write_file "$old" $P/max_pool_percent
[ "$(read_file $P/max_pool_percent)" = "$old" ] || echo "the limit is not what it was"
pages=$(read_file $D/stored_pages) bytes=$(read_file $D/pool_total_size)
[ "$pages" -gt 0 ] && echo "ratio $((pages * 4096 * 100 / bytes))"
[ "$(read_file $G/memory.zswap.max)" = max ] && echo "no limit, $(read_file $G/memory.zswap.current) bytes"
read_file $G/memory.stat | awk '$1 == "zswapped" { print "zswapped", $2 / 4096 }'
read_file /block/swap0/mm_stat | awk '{ print "orig", $1 / 4096 }'
make_folder $R/web && write_file 10M $R/web/memory.zswap.max && write_file 0 $R/web/memory.zswap.writeback
for f in memory.zswap.max memory.zswap.writeback; do echo "$f $(read_file $R/web/$f)"; done
remove_folder $R/web && ! list_folder $R | grep -x web && echo "gone"
write_file nonsense $P/accept_threshold_percent || echo "refused"
`;

t.test('a script for the files of the kernel works after a change of prefix', async (t) => {
  const server = await startServer(t, { set: ['pool.max=10%'] });
  const client = await server.connect();
  await client.write(4096, Buffer.alloc(64 * 4096, 'text that is not one word repeated, '));
  await client.disconnect();
  const { 'zswap.current': current } = (await server.stats()).memcgs[0];
  const zswapd = `"${process.execPath}" "${MAIN}" ctl`;
  const functions = `
read_file() { ${zswapd} get "$1" --control "${server.controlPath}"; }
list_folder() { ${zswapd} ls "$1" --control "${server.controlPath}"; }
make_folder() { ${zswapd} mkdir "$1" --control "${server.controlPath}"; }
remove_folder() { ${zswapd} rmdir "$1" --control "${server.controlPath}"; }
write_file() { ${zswapd} set "$2" "$1" --control "${server.controlPath}"; }
`;
  const { code, stdout, stderr } = await runCommand('sh', ['-c', `${functions}${SCRIPT}`]);
  t.equal(code, 0);
  const group = 'memory.zswap.max 10485760\nmemory.zswap.writeback 0\ngone\n';
  t.match(stdout, new RegExp(`^ratio \\d+\nno limit, ${current} bytes\nzswapped 64\norig 64\n${group}refused\n$`));
  t.match(stderr, /^zswapd ctl: set \/parameters\/accept_threshold_percent: EINVAL: [^\n]+\n$/);
});
