// Starts that this machine does not allow: one line, exit 2, nothing left behind. `config check` finds the same.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join, relative, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { startServer } from '../support/one_thread.ts';
import { missing } from '../support/requires.ts';
import { type Ended, runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN, type ServerOptions, serverArguments } from '../support/zswapd.ts';

// Some thirty processes, of which each takes a third of a second of a processor.
t.setTimeout(120_000);

const NOBODY = '65534';

/** A command that root runs as somebody whom file modes bind. */
function bound(...command: string[]): string[] {
  if (process.getuid!() !== 0) return command;
  return ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', ...command];
}

function runAll(command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const [name, ...args] = command;
  return runCommand('env', [...Object.entries(env).map(([key, value]) => `${key}=${value}`), name, ...args]);
}

/** serve and config check with the same settings; both have to refuse with this one line and leave the folder as it was. */
async function bothRefuse(
  t: Test,
  o: ServerOptions & { wrap?: readonly string[]; code?: number },
  line: RegExp,
): Promise<void> {
  const folder = o.folder ?? tempFolder(t);
  const before = readdirSync(folder).sort();
  const said: string[] = [];
  const [main, , ...set] = serverArguments(folder, o);
  for (const verb of [['serve'], ['config', 'check']]) {
    const command = [...(o.wrap ?? []), process.execPath, main, ...verb, ...set];
    const { code, stdout, stderr } = await runAll(command, o.env);
    t.match({ code, stdout }, { code: o.code ?? 2, stdout: '' }, `${verb.join(' ')}: ${stderr}`);
    t.match(stderr, /^[^\n]+\n$/, 'one line');
    t.match(stderr, line);
    said.push(stderr.replace(/this process \d+/, 'this process'));
    t.same(readdirSync(folder).sort(), before, 'nothing was created');
  }
  t.equal(said[0], said[1], 'in the same words');
}

/** What is served of that folder. */
const mainOf = (root: string): string => join(root, relative(REPOSITORY, MAIN));

/** What an installed server runs, without var/, in a folder that cannot be written. */
function readOnlyCheckout(t: Test): string {
  const root = tempFolder(t);
  cpSync(resolve(REPOSITORY, 'dist'), join(root, 'dist'), {
    recursive: true,
    filter: (path) => !/dist\/(test|scripts|mutants)(\/|$)|\.(map|d\.ts|tsbuildinfo)$/.test(path),
  });
  for (const name of ['package.json', 'config'])
    cpSync(resolve(REPOSITORY, name), join(root, name), { recursive: true });
  symlinkSync(resolve(REPOSITORY, 'node_modules'), join(root, 'node_modules'));
  chmodSync(root, 0o555);
  return root;
}

t.test('a checkout that cannot be written', async (t) => {
  const root = readOnlyCheckout(t);
  const main = mainOf(root);
  for (const verb of [['serve'], ['config', 'check']]) {
    const { code, stdout, stderr } = await runAll(bound(process.execPath, main, ...verb));
    t.match({ code, stdout }, { code: 2, stdout: '' }, stderr);
    t.match(stderr, /can't use folder .*\/var: EACCES/);
    t.notMatch(stderr, /\n {4}at /, 'no stack');
  }
  t.test('serves from other folders, and makes no var/', async (t) => {
    const folder = tempFolder(t);
    chmodSync(folder, 0o777);
    const [, ...args] = serverArguments(folder);
    const [name, ...rest] = bound(process.execPath, main, ...args);
    const child = spawn(name, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => child.kill('SIGKILL'));
    const [line] = await new Promise<[Buffer]>((done) => child.stdout.once('data', (data) => done([data])));
    t.match(String(line), /^ready nbd\+unix:/);
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGTERM');
    t.equal(await ended, 0);
    t.notOk(existsSync(join(root, 'var')));
  });
});

t.test("a var/ of another user's", async (t) => {
  const root = readOnlyCheckout(t);
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'var'), { mode: 0o700 });
  for (const verb of [['serve'], ['config', 'check']]) {
    const { code, stdout, stderr } = await runAll(bound(process.execPath, mainOf(root), ...verb));
    t.match({ code, stdout }, { code: 2, stdout: '' }, stderr);
    t.match(stderr, /can't use folder .*\/var: EACCES/);
    t.notMatch(stderr, /\n {4}at /, 'no stack');
  }
});

t.test('var/ is made when something lies in it, and goes with a start that failed', async (t) => {
  const root = readOnlyCheckout(t);
  chmodSync(root, 0o755);
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => other.once('listening', done));
  t.teardown(() => other.close());
  const { port } = other.address() as { port: number };
  const busy = await runAll([process.execPath, mainOf(root), 'serve', '--set', `listen.tcp=127.0.0.1:${port}`]);
  t.match(busy, { code: 2, stderr: /EADDRINUSE/ });
  t.notOk(existsSync(join(root, 'var')), 'not after a start that failed');
});

t.test('var/ is made for a socket alone', async (t) => {
  const root = readOnlyCheckout(t);
  chmodSync(root, 0o755);
  const [, ...args] = serverArguments(tempFolder(t), { set: [`listen.unix=${join(root, 'var/nbd.sock')}`] });
  const child = spawn(process.execPath, [mainOf(root), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const ready = new Promise((done) => child.stdout.once('data', done));
  await Promise.race([ready, ended]);
  t.ok(existsSync(join(root, 'var/nbd.sock')));
  child.kill('SIGTERM');
  t.strictSame(await ended, [0, null]);
});

t.test('too few descriptors', async (t) => {
  const limited = (count: number) => ['prlimit', `--nofile=${count}:${count}`];
  await bothRefuse(t, { wrap: limited(64) }, /^zswapd: this process may open 64 files, allowed: at least 256/);
  await bothRefuse(t, { wrap: limited(300) }, /listen\.maxConnections: .*may open 300, allowed: fewer/);
  await startServer(t, { set: ['listen.maxConnections=1'] });
});

t.test('the fewest descriptors that are let pass are enough to serve', async (t) => {
  const folder = tempFolder(t);
  const set = ['lanes=2', 'listen.maxConnections=1'];
  const [main, ...args] = serverArguments(folder, { set });
  const child = spawn('prlimit', ['--nofile=300:300', process.execPath, main, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await new Promise((done) => child.stdout.once('data', done));
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('too little address space', async (t) => {
  await bothRefuse(t, { size: '8TiB', wrap: ['prlimit', '--as=9000000000'] }, /pool\.max: the address space/);
  // Enough for the pool; V8 ends the process where it has none for a thread.
  const o = { set: ['pool.max=16MiB'], wrap: ['prlimit', '--as=2000000000'] };
  await bothRefuse(t, o, /^the address space of this process \(\S+\) has no room for \d threads, allowed: /);
});

t.test('nobody to listen to', async (t) => {
  const set = ['listen.unix=null'];
  await bothRefuse(t, { set }, /listen: unix and tcp are both null, allowed/);
  const env = { LISTEN_PID: '1', LISTEN_FDS: '1' };
  await bothRefuse(
    t,
    { set, env },
    /both null and LISTEN_PID is 1 and this process \d+: the sockets .* are not for us/,
  );
  await bothRefuse(t, { set, env: { LISTEN_FDS: 'x' } }, /^LISTEN_FDS: x is not a number of sockets/);
});

t.test('a descriptor that is no socket is not one to listen on', async (t) => {
  const wanted = /^LISTEN_FDS socket 3: is not a stream socket that listens, allowed: /;
  for (const file of ['/dev/null', '/proc/version']) {
    const wrap = ['sh', '-c', `exec "$0" "$@" 3<${file}`];
    await bothRefuse(t, { wrap, env: { LISTEN_FDS: '1' } }, wanted);
  }
});

t.test('nor is one that sends datagrams', { skip: missing('bash') }, async (t) => {
  const wrap = ['bash', '-c', 'exec "$0" "$@" 3<>/dev/udp/127.0.0.1/9'];
  await bothRefuse(t, { wrap, env: { LISTEN_FDS: '1' } }, /^LISTEN_FDS socket 3: is not a stream socket that listens/);
});

t.test('nor is one that listens for packets', { skip: missing('/usr/bin/python3') }, async (t) => {
  const program = [
    'import os, socket, sys',
    's = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)',
    's.bind(""); s.listen(); os.dup2(s.fileno(), 3)',
    'os.execv(sys.argv[1], sys.argv[1:])',
  ];
  const wrap = ['/usr/bin/python3', '-c', program.join('\n')];
  await bothRefuse(t, { wrap, env: { LISTEN_FDS: '1' } }, /^LISTEN_FDS socket 3: is not a stream socket that listens/);
});

t.test('a file of the kernel is no image', async (t) => {
  await bothRefuse(
    t,
    { image: '/proc/version' },
    /exports\[0\]\.image: \/proc\/version is a file of the kernel's own, allowed: /,
  );
});

t.test('too few threads', { skip: process.getuid!() === 0 ? false : 'the limit counts all of a user' }, async (t) => {
  const folder = tempFolder(t);
  chmodSync(folder, 0o777);
  const [main, ...args] = serverArguments(folder, { set: ['lanes=16'] });
  // Node has ten threads of its own; no other process is of this user.
  const wrap = ['setpriv', '--reuid=61234', '--regid=61234', '--clear-groups', 'prlimit', '--nproc=16'];
  const { code, stderr } = await runAll([...wrap, process.execPath, main, ...args]);
  t.match({ code, stderr }, { code: 2, stderr: /^zswapd: can't start a thread: [^\n]*\n$/ });
  t.same(readdirSync(folder), [], 'nothing is left');
});

t.test('sockets that were handed to another process are said to be left alone', async (t) => {
  const server = await startServer(t, { env: { LISTEN_PID: '1', LISTEN_FDS: '1' } });
  await (await server.connect()).disconnect();
  const { code, stderr } = await server.stop();
  t.equal(code, 0);
  t.match(stderr, /LISTEN_PID is 1 and this process \d+: the sockets of LISTEN_FDS are not for us/);
});

t.test('an image that a server has, its sockets, and one that is stale', async (t) => {
  const first = await startServer(t);
  await bothRefuse(t, { image: first.image }, /exports\[0\]\.image: .*is in use by another process/);
  await bothRefuse(
    t,
    { set: [`listen.unix=${first.socketPath}`] },
    /^--set listen\.unix: .*a server already answers on this socket/,
  );
  await bothRefuse(
    t,
    { set: [`control.listen=${first.controlPath}`] },
    /^--set control\.listen: .*a server already answers on this socket/,
  );
  await first.kill9();
  await bothRefuse(t, { image: first.image, code: 3 }, /exports\[0\]\.image: .*stale, because/);
});

t.test('a link that leads nowhere is no image', async (t) => {
  const folder = tempFolder(t);
  symlinkSync('nothing', join(folder, 'swap0.img'));
  await bothRefuse(t, { folder }, /exports\[0\]\.image: .*swap0\.img: is a link that leads nowhere, allowed: /);
});

t.test('files that are in the way', async (t) => {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'a'));
  writeFileSync(join(folder, 'nbd.sock'), '');
  await bothRefuse(t, { folder }, /^--set listen\.unix: .*nbd\.sock: exists and is not a socket/);
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => other.once('listening', done));
  t.teardown(() => other.close());
  const { port } = other.address() as { port: number };
  await bothRefuse(t, { set: [`listen.tcp=127.0.0.1:${port}`] }, /^--set listen\.tcp: .*EADDRINUSE/);
});

t.test('an empty image file gets its size', async (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'swap0.img'), '');
  const server = await startServer(t, { folder });
  t.equal((await server.stop()).code, 0);
});

/** What a service with ProcSubset=pid sees: a /proc without the kernel's own files. */
const PIDS_ONLY = ['unshare', '--mount', 'sh', '-c', 'mount -t proc -o subset=pid proc /proc && exec "$0" "$@"'];
const unmountable = (): string | false =>
  missing('unshare', 'root') || (spawnSync(PIDS_ONLY[0], [...PIDS_ONLY.slice(1), 'true']).status !== 0 && 'no subset=');

t.test('serves where /proc has processes only', { skip: unmountable() }, async (t) => {
  const folder = tempFolder(t);
  const [name, ...args] = [...PIDS_ONLY, process.execPath, ...serverArguments(folder)];
  const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const line = await Promise.race([once(child.stdout, 'data'), ended]);
  t.match(String(line[0]), /^ready nbd\+unix:/);
  t.match(JSON.parse(readFileSync(join(folder, 'swap0.img.zswapd'), 'utf8')), { bootId: null });
  child.kill('SIGTERM');
  t.strictSame(await ended, [0, null]);
});
