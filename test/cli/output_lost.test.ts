// What a command prints and can't be written is a failure of the command; a reader that has enough is none.
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { startControl } from '#src/control/control.js';
import { Child } from '#src/scripts/support/child.js';
import { missing } from '../support/requires.ts';
import { closeOutput, run } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN } from '../support/zswapd.ts';

/** The command with a terminal at stdout, which is closed at the first byte on stdin; says "gone", its stderr, and its end. */
const ON_TERMINAL = `
import os, pty, subprocess, sys
terminal, slave = pty.openpty()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE)
os.close(slave)
sys.stdin.read(1)
os.close(terminal)
print('gone', flush=True)
print(child.communicate()[1].decode(), end='')
print('exit', child.returncode)
`;

const EXPLORE = ['explore', '--scenario', 'stale-data', '--bound', '0'];
const NO_SPACE = 'zswapd: the output could not be written: ENOSPC: no space left on device, write\n';

/** Settings of a config that can be checked beside whatever else runs here. */
function settings(folder: string): string[] {
  const exports = JSON.stringify([{ name: 'swap0', size: '1MiB', image: join(folder, 'swap0.img') }]);
  const values = [`listen.unix=${folder}/n`, `control.listen=${folder}/c`, `exports=${exports}`];
  return values.flatMap((value) => ['--set', value]);
}

/** A server that answers whatever commands ask. */
async function answering(t: Test): Promise<string> {
  const listen = join(tempFolder(t), 'c');
  const swapon = (): object => ({ export: 'a' });
  const control = await startControl({ listen, stats: () => ({ counters: {} }), swapon });
  t.teardown(() => control.close());
  return listen;
}

t.test('a full disk below stdout is one line and exit code 1, whatever the command', async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  const control = ['--control', await answering(t)];
  const check = ['config', 'check', ...settings(tempFolder(t))];
  const commands = [['--version'], ['--help'], ['explore', '--help'], check, [...check, '--json'], EXPLORE];
  for (const args of [
    ...commands,
    ['stats', ...control],
    ['stats', '--json', ...control],
    ['swapon', 'a', ...control],
  ]) {
    const { code, stderr } = await new Child(process.execPath, [MAIN, ...args], { stdio: ['ignore', full, 'pipe'] })
      .ended;
    t.same({ code, stderr }, { code: 1, stderr: NO_SPACE }, args.slice(0, 2).join(' '));
  }
});

t.test(
  'a file that takes a part of the output only is one line and exit code 1',
  { skip: missing('prlimit') },
  async (t) => {
    const folder = tempFolder(t);
    // The kernel takes what fits, as it does on a disk that fills up, and says so by a short count.
    const limited = ['-c', 'exec "$@" > "$0"', join(folder, 'out'), 'prlimit', '--fsize=512'];
    const command = [process.execPath, MAIN, 'explore', '--help'];
    const { code, stderr } = await new Child('sh', [...limited, ...command]).ended;
    t.same(
      { code, stderr },
      { code: 1, stderr: 'zswapd: the output could not be written: EFBIG: file too large, write\n' },
    );
    t.equal(readFileSync(join(folder, 'out')).length, 512, 'a part of it is there');
  },
);

t.test('a full disk below stderr does not change the exit code', { skip: missing('prlimit') }, async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  for (const args of [
    ['--nofile=100', process.execPath, MAIN, '--version'],
    [process.execPath, MAIN, 'nope'],
  ]) {
    t.equal((await new Child('prlimit', args, { stdio: ['ignore', 'pipe', full] }).ended).code, 2);
  }
});

t.test('a reader that has enough does not change the exit code, and is not complained about', async (t) => {
  for (const args of [['--version'], ['config', 'check', ...settings(tempFolder(t))], [...EXPLORE, '--json']]) {
    const { code, stderr } = await run(MAIN, args, (child) => void child.stdout?.destroy());
    t.same({ code, stderr }, { code: 0, stderr: '' }, args[0]);
    t.equal((await run(MAIN, args, closeOutput)).code, 0, `${args[0]}, with stderr closed as well`);
  }
});

t.test('a pipe gets all of it, although it does not hold as much', async (t) => {
  const folder = tempFolder(t);
  const description = 'x'.repeat(4096);
  const exports = Array.from({ length: 32 }, (_, x) => {
    return { name: `swap${x}`, size: '1MiB', image: join(folder, `${x}.img`), description };
  });
  const config = join(folder, 'c.json');
  writeFileSync(config, JSON.stringify({ exports, listen: { unix: 'n' }, control: { listen: 'c' } }));
  const args = ['config', 'check', '--json', '--config', config];
  const { code, stdout } = await run(MAIN, args);
  t.equal(code, 0);
  t.match(JSON.parse(stdout).exports[31], { name: 'swap31', description });
});

t.test('a terminal that is gone is one line and exit code 1', { skip: missing('python3') }, async (t) => {
  const listen = join(tempFolder(t), 'c');
  const events = new EventEmitter();
  const [asked, gone] = [once(events, 'asked'), once(events, 'gone')];
  const check = async (): Promise<object> => {
    events.emit('asked');
    await gone;
    return { quiescent: true, ok: true, problems: [] };
  };
  const control = await startControl({ listen, stats: () => ({}), check });
  t.teardown(() => control.close());
  const args = ['-c', ON_TERMINAL, process.execPath, MAIN, 'stats', '--check', '--control', listen];
  const python = spawn('python3', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => python.kill('SIGKILL'));
  const lines = createInterface(python.stdout)[Symbol.asyncIterator]();
  await asked;
  python.stdin.write('x');
  t.equal((await lines.next()).value, 'gone');
  events.emit('gone');
  const ended = [];
  for await (const line of lines) ended.push(line);
  t.same(ended, ['zswapd: the output could not be written: EIO: i/o error, write', 'exit 1']);
});
