// What is asked before anything is loaded: the version of Node, and the descriptors that a process may open.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { descriptorLimit, descriptorProblem, loadProblem, nodeProblem } from '#src/config/requirements.js';
import { missing } from '../support/requires.ts';
import { runCommand } from '../support/run_process.ts';

t.test('a Node that is too old is named, and what is wanted', async (t) => {
  for (const good of ['20.11.0', '20.11.1', '20.20.2', '21.0.0', '100.1.0'])
    t.equal(nodeProblem(good, '>=20.11'), null);
  for (const bad of ['20.10.9', '18.20.4', '9.99.99', '4.0.0']) {
    t.equal(nodeProblem(bad, '>=20.11'), `this is Node ${bad}, allowed: >=20.11`);
  }
});

t.test('an old Node is told so by every command, before anything else is loaded', async (t) => {
  const main = resolve(REPOSITORY, 'dist/main.js');
  const spoof = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } });`;
  const folder = t.testdir({ 'spoof.cjs': spoof });
  for (const command of [['serve'], ['stats'], ['config', 'check']]) {
    const args = ['--require', join(folder, 'spoof.cjs'), main, ...command];
    const { engines } = JSON.parse(readFileSync(resolve(REPOSITORY, 'package.json'), 'utf8'));
    const stderr = `zswapd: this is Node 18.20.4, allowed: ${engines.node}\n`;
    t.same(await runCommand(process.execPath, args), { code: 2, stdout: '', stderr });
  }
});

t.test('options of Node that nothing here can run with are one line', async (t) => {
  const main = resolve(REPOSITORY, 'dist/main.js');
  for (const [options, line] of [
    [['--experimental-permission', '--allow-fs-read=*'], /^zswapd: this Node restricts what is run \(/m],
    [['--frozen-intrinsics'], /^zswapd: the objects of this Node are frozen \(--frozen-intrinsics\), allowed: /m],
    [['--no-addons'], /^zswapd: this Node loads no native modules \(--no-addons\), allowed: without that$/m],
  ] as const) {
    for (const command of [['serve'], ['config', 'check']]) {
      const { code, stdout, stderr } = await runCommand(process.execPath, [
        '--no-warnings',
        ...options,
        main,
        ...command,
      ]);
      t.match({ code, stdout }, { code: 2, stdout: '' });
      t.match(stderr, line);
      t.match(stderr, /^[^\n]+\n$/, 'one line');
    }
  }
});

/** A mount namespace in which nothing is at /proc. */
const NO_PROC = ['--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$0" "$@"'];

t.test('without /proc there is one line', { skip: missing('unshare', 'root') }, async (t) => {
  const main = resolve(REPOSITORY, 'dist/main.js');
  const { code, stdout, stderr } = await runCommand('unshare', [...NO_PROC, process.execPath, main, 'serve']);
  t.match({ code, stdout }, { code: 2, stdout: '' });
  t.match(stderr, /^zswapd: can't read what this process may use: ENOENT: .*\/proc.*, allowed: [^\n]*\n$/);
});

t.test('what is loaded before the question can be read by an old Node', async (t) => {
  const allowed = {
    'main.js': ['node:fs', './config/requirements.js'],
    'config/requirements.js': [],
    'bin/main.js': [],
    'bin/program.js': ['node:fs', './requirements.js'],
    'bin/requirements.js': [],
  };
  for (const [name, expected] of Object.entries(allowed)) {
    const text = readFileSync(resolve(REPOSITORY, 'dist', name), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
    const imports = [...text.matchAll(/^import .* from ['"](.*)['"];/gm)].map(([, from]) => from);
    t.same(imports, expected);
    t.notMatch(text, /\?\.[a-z[(]|\?\?|^\s*await |#[a-z]+|\.at\(|replaceAll/m, 'no syntax or method that is young');
  }
});

t.test('the limit is what the kernel says', async (t) => {
  const line = (soft: string): string =>
    `Limit  Soft  Hard  Units\nMax open files            ${soft}      4096      files\n`;
  t.equal(descriptorLimit(line('1024')), 1024);
  t.equal(descriptorLimit(line('unlimited')), Number.POSITIVE_INFINITY);
  t.equal(descriptorProblem(line('256')), null);
  t.match(descriptorProblem(line('255')), /may open 255 files, allowed: at least 256/);
});

t.test('what cannot be loaded is one line where it is not our fault', async (t) => {
  const error = (code: string, message: string): Error => Object.assign(new Error(message), { code });
  t.equal(
    loadProblem(error('EMFILE', 'EMFILE: too many open files\nstack')),
    'too many open files: EMFILE: too many open files, allowed: a higher limit (ulimit -n)',
  );
  t.match(
    loadProblem(error('ERR_DLOPEN_FAILED', 'x.node: wrong version')),
    /^x\.node: wrong version, allowed: what scripts/,
  );
  t.match(loadProblem(new Error('lane 0: x', { cause: error('ENFILE', 'full') })), /^too many open files: full/);
  t.match(
    loadProblem(error('ERR_WORKER_INIT_FAILED', 'EAGAIN')),
    /^can't start a thread: EAGAIN, allowed: more processes/,
  );
  t.equal(loadProblem(new Error('ours')), null);
});
