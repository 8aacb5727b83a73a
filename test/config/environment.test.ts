// What serve and config check find out about the machine before anything is created.
import { linkSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkEnvironment } from '#src/config/environment.js';
import { loadConfigText } from '#src/config/load.js';
import { fileSizeLimit } from '#src/config/requirements.js';
import { runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN } from '../support/zswapd.ts';

function check(folder: string, images: string[], options: object = {}, environment: NodeJS.ProcessEnv = {}): string[] {
  const exports = images.map((image, index) => ({ name: `e${index}`, size: '1MiB', image }));
  const config = { listen: { unix: null, tcp: '127.0.0.1:0' }, control: { listen: null }, exports, ...options };
  const lines = checkEnvironment(loadConfigText(join(folder, 'c'), JSON.stringify(config)).config, environment);
  return lines.map((line) => line.replaceAll(folder, '.'));
}

t.test('a missing image in an existing folder is fine, and nothing is created', async (t) => {
  const folder = tempFolder(t);
  t.same(check(folder, ['new.img']), []);
  t.same(readdirSync(folder), []);
});

t.test('a missing folder is named', async (t) => {
  t.same(check(tempFolder(t), ['no/x.img']), [
    'exports[0].image: folder ./no does not exist, allowed: an existing folder',
  ]);
  t.same(check(tempFolder(t), ['x.img'], { control: { listen: 'no/c.sock' } }), [
    'control.listen: folder ./no does not exist, allowed: an existing folder',
  ]);
});

t.test('an image has to have the size of its export', async (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'x.img'), '');
  truncateSync(join(folder, 'x.img'), 2 ** 20);
  t.same(check(folder, ['x.img']), []);
  truncateSync(join(folder, 'x.img'), 2 ** 21);
  t.same(check(folder, ['x.img']), ['exports[0].size: 1MiB is not the size of ./x.img, allowed: 2MiB, as the file is']);
});

t.test('an image is a regular file or a block device', async (t) => {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'x.img'));
  t.same(check(folder, ['x.img']), [
    'exports[0].image: ./x.img is not an image, allowed: a regular file or a block device',
  ]);
  t.match(check(folder, ['/dev/null']), ['exports[0].image: /dev/null is not an image']);
});

t.test('one file under two names is found', async (t) => {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'a'));
  const same = ['exports[1].image: ./2.img is the same file as exports[0].image, allowed: one export per image'];
  writeFileSync(join(folder, '1.img'), Buffer.alloc(2 ** 20));
  linkSync(join(folder, '1.img'), join(folder, '2.img'));
  t.same(check(folder, ['1.img', '2.img']), same);
  symlinkSync(join(folder, 'a'), join(folder, 'b'));
  t.match(check(folder, ['a/new.img', 'b/new.img']), [/^exports\[1\]\.image: \.\/b\/new\.img is the same file/]);
});

t.test('something has to listen, or to be inherited', async (t) => {
  const none = { listen: { unix: null, tcp: null } };
  t.same(check(tempFolder(t), ['x'], none), [
    'listen: unix and tcp are both null, allowed: one of them, or sockets inherited by LISTEN_FDS',
  ]);
  t.same(check(tempFolder(t), ['x'], none, { LISTEN_FDS: '1' }), []);
});

t.test('a path that leads nowhere is one line, whatever the kernel calls it', async (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'file'), '');
  symlinkSync('loop', join(folder, 'loop'));
  const long = 'x'.repeat(300);
  for (const [path, code] of [
    ['file/x', 'ENOTDIR'],
    ['file/x/y', 'ENOTDIR'],
    ['loop', 'ELOOP'],
    ['loop/x', 'ELOOP'],
    [long, 'ENAMETOOLONG'],
    [`${long}/x`, 'ENAMETOOLONG'],
  ]) {
    const lines = check(folder, [path]);
    t.equal(lines.length, 1, lines.join('\n'));
    if (path !== 'file/x') t.match(lines[0], code);
    t.match(lines[0], /^exports\[0\]\.image: .*, allowed: /);
  }
  t.match(check(folder, ['x'], { control: { listen: 'loop/c' } }), [/^control\.listen: can't use folder .*ELOOP/]);
  t.match(check(folder, ['x'], { listen: { unix: 'file/x/s', tcp: null } }), [
    /^listen\.unix: can't use folder .*ENOTDIR/,
  ]);
});

t.test('LISTEN_FDS=0 is none', async (t) => {
  t.same(check(t.testdir({}), ['x'], {}, { LISTEN_FDS: '0' }), []);
  t.match(check(t.testdir({}), ['x'], { listen: { unix: null, tcp: null } }, { LISTEN_FDS: '0' }), [
    /^listen: unix and tcp/,
  ]);
  for (const LISTEN_FDS of ['', '-1', '1.5', '65']) {
    t.throws(() => check(t.testdir({}), ['x'], {}, { LISTEN_FDS }), /is not a number of sockets, allowed: 0 to 64/);
  }
});

t.test('an image may not be longer than a file of the process', async (t) => {
  const limits = (soft: string) =>
    `Limit   Soft Limit  Hard Limit  Units\nMax file size             ${soft}     unlimited   bytes\n`;
  t.equal(fileSizeLimit(limits('unlimited')), Infinity);
  t.equal(fileSizeLimit(limits('20480')), 20480);
  t.equal(fileSizeLimit(''), Infinity);
  const folder = tempFolder(t);
  const config = join(folder, 'c.jsonc');
  const exports = [{ name: 'a', size: '2MiB', image: 'a.img' }];
  writeFileSync(config, JSON.stringify({ listen: { unix: 's' }, control: { listen: null }, exports }));
  const check = ['--fsize=1048576', process.execPath, MAIN, 'config', 'check', '--config', config];
  for (const there of [false, true]) {
    if (there) {
      writeFileSync(join(folder, 'a.img'), '');
      truncateSync(join(folder, 'a.img'), 2 ** 21);
    }
    const allowed = 'at most 1MiB, or a higher limit (ulimit -f, LimitFSIZE)';
    t.match(await runCommand('prlimit', check), {
      code: 2,
      stderr: `exports[0].size: 2MiB is more than a file of this process may have, allowed: ${allowed}`,
    });
  }
});
