// When scripts/build installs: in a checkout of its own with small packages, and with programs in the place of npm, tsc and rollup.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { runAt } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';

const STAMP = 'node_modules/.zswapd-installed';
const NEVER_INSTALLED = { 'node_modules/other-machine': { version: '1.0.0', optional: true } };
const PACKAGES = {
  '': { name: 'zswapd' },
  'node_modules/koffi': { version: '3.0.0', integrity: 'sha512-a' },
  'node_modules/zstd-napi': { version: '0.1.0', integrity: 'sha512-b' },
};

/** A checkout after an `npm ci` by hand: everything is there but the note of scripts/build. */
function checkout(t: Test): { folder: string; write: (path: string, text: string) => void } {
  const folder = tempFolder(t);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  for (const path of ['src/a.ts', 'scripts/a.ts', 'test/a.ts', 'node_modules/koffi/index.js']) write(path, '');
  write('tsconfig.json', '{}');
  write('package.json', '{"type":"module"}');
  write('node_modules/zstd-napi/index.js', '');
  write('node_modules/typescript/bin/tsc', '');
  write('rollup.config.js', '');
  write('node_modules/rollup/package.json', '{"type":"commonjs"}');
  write(
    'node_modules/rollup/dist/bin/rollup',
    "require('fs').mkdirSync('dist/bin'); require('fs').appendFileSync('joined', '+');",
  );
  write('package-lock.json', JSON.stringify({ packages: { ...PACKAGES, ...NEVER_INSTALLED } }));
  const { '': _, ...installed } = PACKAGES;
  write('node_modules/.package-lock.json', JSON.stringify({ packages: installed }));
  write('bin/npm', '#!/bin/sh\necho "$@" >>npm-calls\n');
  chmodSync(join(folder, 'bin/npm'), 0o755);
  copyFileSync(resolve(REPOSITORY, 'scripts/build'), join(folder, 'scripts/build'));
  return { folder, write };
}

/** Whether npm was called. */
async function installs(t: Test, folder: string): Promise<boolean> {
  const PATH = `${join(folder, 'bin')}${delimiter}${process.env.PATH}`;
  const { code, stderr } = await runAt(folder, join(folder, 'scripts/build'), ['src'], { PATH });
  t.equal(code, 0, stderr);
  const calls = join(folder, 'npm-calls');
  const called = existsSync(calls);
  if (called) t.match(readFileSync(calls, 'utf8'), /^ci /);
  rmSync(calls, { force: true });
  return called;
}

t.test('what was installed by hand is taken as it is', async (t) => {
  const { folder } = checkout(t);
  t.notOk(await installs(t, folder));
  t.ok(existsSync(join(folder, STAMP)), 'and is not looked at again');
  t.notOk(await installs(t, folder));
});

t.test('what a server loads is joined again when a source has changed', async (t) => {
  const { folder, write } = checkout(t);
  const joined = async (): Promise<string> => {
    await installs(t, folder);
    return readFileSync(join(folder, 'joined'), 'utf8');
  };
  t.equal(await joined(), '+');
  t.equal(await joined(), '+', 'nothing has changed');
  write('test/a.ts', 'a test');
  t.equal(await joined(), '+', 'which is not in it');
  write('src/b.ts', '');
  t.equal(await joined(), '++');
});

const incomplete: [string, (write: (path: string, text: string) => void, folder: string) => void][] = [
  ['nothing is installed', (_, folder) => rmSync(join(folder, 'node_modules/.package-lock.json'))],
  [
    'another version is installed',
    (write) => {
      const packages = { ...PACKAGES, 'node_modules/koffi': { version: '3.0.1', integrity: 'sha512-a' } };
      write('node_modules/.package-lock.json', JSON.stringify({ packages }));
    },
  ],
  ['this Node can not load what was compiled', (write) => write('node_modules/zstd-napi/index.js', 'throw Error()')],
  ['another Node installed it', (write) => write(STAMP, 'v18.0.0 x')],
];

for (const [what, change] of incomplete) {
  t.test(`npm installs where ${what}`, async (t) => {
    const { folder, write } = checkout(t);
    change(write, folder);
    t.ok(await installs(t, folder));
    t.notOk(await installs(t, folder), 'once');
  });
}
