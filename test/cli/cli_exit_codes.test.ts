// The command line as a process: exit codes, one line on stderr, nothing created, closed output survived.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startControl } from '#src/control/control.js';
import { closeOutput, run, runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN } from '../support/zswapd.ts';

const zswapd = (...args: string[]) => run(MAIN, args);

/** Settings that share no socket, port or image with a server that may run from this checkout. */
function nobodyElse(t: Test): string[] {
  const folder = tempFolder(t);
  const exports = [{ name: 'swap0', size: '1MiB', image: join(folder, 'swap0.img') }];
  const values = [`listen.unix=${folder}/n`, 'listen.tcp=null', `control.listen=${folder}/c`];
  return [...values, `exports=${JSON.stringify(exports)}`].flatMap((value) => ['--set', value]);
}

t.test('mistakes of usage are exit code 2 and one line', async (t) => {
  for (const args of [['nope'], ['serve', '--nope'], ['serve', 'x'], ['image', 'reset'], ['serve', '--set']]) {
    const { code, stdout, stderr } = await zswapd(...args);
    t.match({ code, stdout, stderr }, { code: 2, stdout: '', stderr: /^zswapd: [^\n]+\n$/ }, args.join(' '));
  }
});

t.test('a path that is not UTF-8 is exit code 2, as it would be that of another file', async (t) => {
  for (const verb of ['image reset', 'config check --set', 'serve --set']) {
    const line = `exec "$0" "$1" ${verb} "$(printf 'exports[0].image=/m\\374ll')"`;
    const ended = await runCommand('sh', ['-c', line, process.execPath, MAIN]);
    t.match(ended, { code: 2, stdout: '', stderr: /^zswapd: [^\n]+: is not UTF-8, [^\n]+\n$/ }, verb);
  }
});

t.test('a folder that is gone is exit code 2 and one line', async (t) => {
  const folder = tempFolder(t);
  const line = 'mkdir "$1/x" && cd "$1/x" && rmdir "$1/x" && shift && exec "$@"';
  const ended = await runCommand('sh', ['-c', line, 'sh', folder, process.execPath, MAIN, 'serve', ...nobodyElse(t)]);
  t.match(ended, { code: 2, stdout: '', stderr: /^zswapd: the current folder is gone, allowed: [^\n]+\n$/ });
});

t.test('a server that finds several mistakes says one, a check says all', async (t) => {
  const set = ['--set', 'lanes=99', '--set', 'pool.max=1'];
  t.match(await zswapd('serve', ...set), { code: 2, stdout: '', stderr: /^--set [^\n]* \(and 1 more, [^\n]*\)\n$/ });
  t.match(await zswapd('config', 'check', ...set), { code: 2, stdout: '', stderr: /^--set [^\n]*\n--set [^\n]*\n$/ });
});

t.test('a missing folder is exit code 2 for serve and check alike, and nothing is created', async (t) => {
  const folder = t.testdir({});
  const set = ['--set', `exports[0].image=${folder}/no/x.img`];
  for (const command of [['serve'], ['config', 'check']]) {
    const stderr = `--set exports[0].image: folder ${folder}/no does not exist, allowed: an existing folder\n`;
    t.same(await zswapd(...command, ...set), { code: 2, stdout: '', stderr });
  }
  t.notOk(existsSync(join(folder, 'no')));
});

t.test('config check --json prints plain values', async (t) => {
  const set = [...nobodyElse(t), '--set', 'pool.max=1MiB', '--set', 'lanes=1'];
  const { code, stdout } = await zswapd('config', 'check', '--json', ...set);
  t.equal(code, 0);
  t.match(JSON.parse(stdout), { lanes: 1, pool: { max: 2 ** 20 } });
});

t.test('stats finds the server by --control and by the config', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-'));
  const listen = join(folder, 'c');
  const control = await startControl({ listen, stats: () => ({ counters: { stored_pages: 5 } }) });
  t.teardown(async () => {
    await control.close();
    rmSync(folder, { recursive: true });
  });
  t.match(await zswapd('stats', '--control', listen), { code: 0, stdout: 'counters\n  stored_pages  5\n', stderr: '' });
  const json = await zswapd('stats', '--json', '--set', `control.listen=${listen}`);
  t.same(json, { code: 0, stdout: '{"counters":{"stored_pages":5}}\n', stderr: '' });
});

t.test('stats --check is exit code 0 only with a verdict that nothing leaked', async (t) => {
  const listen = join(tempFolder(t), 'c');
  let answer: object = {};
  const control = await startControl({ listen, stats: () => ({}), check: async () => answer });
  t.teardown(() => control.close());
  for (const [code, line, given] of [
    [0, /^ok: nothing leaked\n/, { quiescent: true, ok: true, problems: [] }],
    [1, /^1 sums do not agree:\n {2}x is not y\n/, { quiescent: true, ok: false, problems: ['x is not y'] }],
    [1, /^no verdict: requests or writebacks are under way\n/, { quiescent: false, ok: false, problems: [] }],
    [1, /^no verdict/, { problems: [] }],
  ] as const) {
    answer = given;
    t.match(await zswapd('stats', '--check', '--control', listen), { code, stdout: line });
    t.match(await zswapd('stats', '--check', '--json', '--control', listen), { code });
  }
});

t.test('stats without a server is exit code 1', async (t) => {
  t.match(await zswapd('stats', '--control', '/does/not/exist'), {
    code: 1,
    stderr: /^\/does\/not\/exist: no server answers/,
  });
});

t.test('stats of an NBD socket says that it is none of control', async (t) => {
  const listen = join(tempFolder(t), 'n');
  const server = createServer((socket) => socket.on('error', () => socket.destroy()).write('NBDMAGICIHAVEOPT'));
  await new Promise<void>((done) => server.listen(listen, done));
  t.teardown(() => server.close());
  t.match(await zswapd('stats', '--control', listen), { code: 1, stderr: /n: is not a control socket: [^\n]*\n$/ });
});

t.test('a closed stdout does not change the exit code', async (t) => {
  const check = await run(MAIN, ['config', 'check', ...nobodyElse(t)], closeOutput);
  t.equal(check.code, 0);
});

t.test('an empty path of a control socket is a mistake of usage, not the current folder', async (t) => {
  for (const command of [['stats'], ['swapoff', 'a'], ['swapon', 'a']]) {
    const stderr = '--control: is empty, allowed: the path of a socket\n';
    t.same(await zswapd(...command, '--control', ''), { code: 2, stdout: '', stderr });
  }
});
