// What is printed for pasting is pasted: into shells, nbdinfo, QEMU and our own command line, with hostile names and paths.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { shellLine } from '#src/os/shell.js';
import { attachHelp } from '#src/server/attach_help.js';
import { failedStart, startServer } from '../support/one_thread.ts';
import { tempFolder } from '../support/tmp.ts';
import { type RunningServer, type ServerOptions, serverArguments } from '../support/zswapd.ts';

t.setTimeout(120_000);

const NAME = 'it\'s a, "b" $c `d` \\e !f *g ~h=ü';
const FOLDER = 'o\'clock, a b $c "d" é!';

const has = (command: string): boolean => {
  try {
    execFileSync('which', [command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
/** An interactive shell may be any of these. */
const SHELLS = ['sh', 'bash', 'zsh'].filter(has);

interface Pasted {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a line as it stands, from a folder that is nobody's. */
function paste(t: Test, shell: string, line: string, path = ''): Promise<Pasted> {
  const env = { ...process.env, PATH: `${path}:${process.env.PATH}` };
  return new Promise((resolve) => {
    execFile(shell, ['-c', line], { cwd: tempFolder(t), env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

function hostileFolder(t: Test): string {
  const folder = join(tempFolder(t), FOLDER);
  mkdirSync(folder);
  return folder;
}

function start(t: Test, folder: string, set: readonly string[] = []): Promise<RunningServer> {
  const exports = [{ name: NAME, size: '8MiB', image: join(folder, 'i.img') }];
  return startServer(t, { folder, exports, set });
}

const commands = (help: string): string[] =>
  help.split('\n').flatMap((line) => (line.startsWith('  ') ? [line.trim()] : []));
const find = (help: string, begin: string): string => commands(help).find((line) => line.startsWith(begin)) ?? '';

t.test('words come out of every shell as they went in', async (t) => {
  const words = [NAME, FOLDER, '=ls', 'a=b', '-n', 'exports[0].onUnclean=reset', '', '{a,b}', '#x', 'a\nb', '^a', '?'];
  for (const shell of SHELLS) {
    const { stdout } = await paste(t, shell, `printf '%s\\0' ${shellLine(words)}`);
    t.same(stdout.split('\0').slice(0, -1), words, shell);
  }
  t.equal(shellLine(['/plain/path.img', 'a,b']), '/plain/path.img a,b', 'what needs no quotes has none');
});

t.test('look: nbdinfo', { skip: has('nbdinfo') ? false : 'no nbdinfo' }, async (t) => {
  const server = await start(t, hostileFolder(t), ['listen.tcp=127.0.0.1:0']);
  const lines = commands(attachHelp(server.uris)).filter((line) => line.startsWith('nbdinfo'));
  t.equal(lines.length, 2, 'one per socket');
  for (const line of lines) {
    for (const shell of SHELLS) t.match(await paste(t, shell, line), { code: 0, stdout: /export-size: 8388608/ });
  }
  t.equal((await server.stop()).code, 0);
});

t.test('QEMU: -blockdev', { skip: has('qemu-storage-daemon') ? false : 'no QEMU' }, async (t) => {
  const server = await start(t, hostileFolder(t), ['listen.tcp=127.0.0.1:0']);
  const help = attachHelp(server.uris, { supervised: true });
  t.match(help, 'reconnect-delay=300');
  const lines = commands(help).filter((line) => line.startsWith('-blockdev'));
  t.equal(new Set(lines).size, 2);
  const client = await server.connect({ export: NAME });
  await client.write(0, Buffer.alloc(4096, 7));
  for (const [index, line] of lines.entries()) {
    // A write that is answered ENOSPC (onRejectNoWriteback: fail) is the guest's to handle, and does not stop it.
    const device = /drive=(\w+),iothread=zswap-io\d,werror=report,rerror=report/.source;
    const [, blockdev, node] =
      new RegExp(`^-blockdev (.*) -object iothread,id=zswap-io\\d -device virtio-blk-pci,${device}$`).exec(line) ?? [];
    const ask = ['qmp_capabilities', 'query-named-block-nodes', 'quit'].map((execute) => JSON.stringify({ execute }));
    const monitor = '--chardev stdio,id=m --monitor chardev=m';
    const { code, stdout, stderr } = await paste(
      t,
      'sh',
      `printf '%s\\n' ${shellLine(ask)} | qemu-storage-daemon ${monitor} --blockdev ${blockdev}`,
    );
    t.equal(code, 0, stderr);
    t.match(stdout, new RegExp(`"node-name": "${node}"`));
    t.equal(node, `zswap${index}`, 'exports can be attached side by side');
    const image = blockdev.replace(/node-name=\w+,/, '');
    const read = await paste(t, 'sh', `qemu-io --image-opts ${image} -c 'read -P 7 0 4096'`);
    t.match(read, { code: 0, stdout: /^read 4096\/4096 bytes/ }, read.stderr);
  }
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});

t.test('QEMU: all of the line, on a machine that does not run', { skip: !has('qemu-system-x86_64') }, async (t) => {
  const server = await start(t, hostileFolder(t));
  const line = find(attachHelp(server.uris), '-blockdev');
  const ask = ['qmp_capabilities', 'query-block', 'quit'].map((execute) => JSON.stringify({ execute }));
  const qemu = 'qemu-system-x86_64 -M q35 -m 16 -S -display none -nodefaults -qmp stdio';
  const { code, stdout, stderr } = await paste(t, 'sh', `printf '%s\\n' ${shellLine(ask)} | ${qemu} ${line}`);
  t.equal(code, 0, stderr);
  t.match(stdout, /"node-name": "zswap0"/);
  t.equal((await server.stop()).code, 0);
});

t.test('a guest that attaches by itself reaches this machine by the name it has there', async (t) => {
  const folder = tempFolder(t);
  for (const name of ['modprobe', 'nbd-client', 'mkswap', 'swapon']) {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\nprintf '${name}'; printf ' <%s>' "$@"; echo\n`);
    chmodSync(path, 0o755);
  }
  const uri = (host: string): string => `nbd://${host}:10809/${encodeURIComponent(NAME)}`;
  for (const [host, seen] of [
    ['127.0.0.1', '10.0.2.2'],
    ['[::1]', 'fec0::2'],
    ['0.0.0.0', '192.0.2.7'],
    ['[::]', '192.0.2.7'],
    ['198.51.100.1', '198.51.100.1'],
  ]) {
    const line = find(attachHelp([uri(host)], { address: '192.0.2.7' }), 'modprobe');
    const { code, stdout } = await paste(t, 'sh', line, folder);
    t.equal(code, 0);
    t.same(stdout.trimEnd().split('\n'), [
      'modprobe <nbd> <max_part=0>',
      `nbd-client <-b> <4096> <${seen}> <10809> <-N> <${NAME}> </dev/nbd0>`,
      'mkswap </dev/nbd0>',
      'swapon <-d> </dev/nbd0>',
    ]);
  }
});

t.test('no line makes this machine swap on its own server', async (t) => {
  const help = attachHelp(['nbd+unix:///swap0?socket=/s', 'nbd://127.0.0.1:1/swap0']);
  for (const line of commands(help).filter((one) => /swapon|mkswap/.test(one))) t.match(line, /10\.0\.2\.2/);
});

t.test(
  'on a terminal the lines follow the ready lines',
  { skip: has('script') ? false : 'no script(1)' },
  async (t) => {
    const folder = tempFolder(t);
    const line = shellLine([process.execPath, ...serverArguments(folder, { size: '8MiB' })]);
    const child = spawn('script', ['-qefc', `exec ${line}`, '/dev/null'], { stdio: ['pipe', 'pipe', 'ignore'] });
    const ended = new Promise((done) => child.once('close', done));
    t.teardown(() => child.kill('SIGKILL'));
    let shown = '';
    while (!shown.includes('drive=zswap0')) {
      const [text] = await new Promise<[Buffer]>((done) => child.stdout.once('data', (data) => done([data])));
      shown += String(text);
    }
    t.match(shown.replaceAll('\r', ''), attachHelp([`nbd+unix:///swap0?socket=${folder}/nbd.sock`]).trimEnd());
    // Ctrl-C of that terminal.
    child.stdin.write('\x03');
    t.equal(await ended, 0);
  },
);

/** What stands between backquotes in the refusal of a stale image. */
async function waysOut(t: Test, o: ServerOptions): Promise<string[]> {
  const { code, stderr } = await failedStart(t, o);
  t.equal(code, 3, stderr);
  const text = stderr.slice(stderr.indexOf('allowed: '));
  return [/`(.*)`, or start with /s, /start with `(.*?)`/s, /old bytes with `(.*?)`/s].map(
    (one) => one.exec(text)?.[1] ?? '',
  );
}

t.test('the ways out of a stale image', async (t) => {
  const folder = hostileFolder(t);
  const exports = [{ name: 'a', size: '8MiB', image: join(folder, 'i`m.img') }];
  const o = { folder, exports };
  const arguments_ = (set: string): string => `${shellLine([process.execPath, ...serverArguments(folder, o)])} ${set}`;
  for (const shell of SHELLS) {
    await (await startServer(t, o)).kill9();
    const [reset, startReset, startServe] = await waysOut(t, o);
    for (const line of [startServe, startReset]) {
      const child = spawn(shell, ['-c', `exec ${arguments_(line)}`], { stdio: ['ignore', 'pipe', 'ignore'] });
      const ended = new Promise((done) => child.once('close', done));
      t.teardown(() => child.kill('SIGKILL'));
      const [text] = await new Promise<[Buffer | string]>((done) => {
        child.stdout.once('data', (data) => done([data]));
        child.once('close', () => done(['ended']));
      });
      t.match(String(text), /^ready /, `${shell}: ${line}`);
      child.kill('SIGKILL');
      await ended;
    }
    t.match(await paste(t, shell, reset), { code: 0, stderr: /discarded its content/ }, `${shell}: ${reset}`);
    t.notOk(existsSync(`${exports[0].image}.zswapd`));
    t.match(await paste(t, shell, reset), { code: 0, stderr: /is not stale/ });
    t.equal((await (await startServer(t, o)).stop()).code, 0);
  }
});

t.test('the check that shows all mistakes', async (t) => {
  const folder = hostileFolder(t);
  const { code, stderr } = await failedStart(t, { folder, set: ['lanes=99', "log.level=o'clock"] });
  t.equal(code, 2);
  const line = /shown by: (.*)\)\n$/s.exec(stderr)?.[1] ?? '';
  for (const shell of SHELLS) {
    t.match(await paste(t, shell, line), { code: 2, stderr: /lanes: .*\n.*log\.level: "o'clock"/ });
  }
});
