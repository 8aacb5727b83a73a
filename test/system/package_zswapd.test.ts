// The tarball of `npm pack` alone: what is in it, and that it serves from an empty folder, with its state beside it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { install, pack, uncompiled } from '../support/packages.ts';
import { runAt } from '../support/run_process.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
// Of the whole file: a folder of one test goes with it.
const packed = await pack(t, '.');

t.test('the tarball', async (t) => {
  const { files } = packed;
  t.same(uncompiled(files, 'src'), [], 'all sources, compiled');
  t.same(
    files.filter((path) => /^dist\/(test|scripts)\//.test(path)),
    [],
    'no tests, no scripts',
  );
  for (const path of [
    'LICENSE',
    'README.md',
    'CHANGELOG.md',
    'dist/main.js',
    'dist/bin/main.js',
    'config/default.jsonc',
  ])
    t.ok(files.includes(path), path);
  t.ok(files.includes('node_modules/node-nbd-server/dist/index.js'), 'the library is bundled');
  const map = JSON.parse(readFileSync(resolve(REPOSITORY, 'dist/main.js.map'), 'utf8'));
  t.equal(map.sourcesContent?.length, map.sources.length, 'maps carry their sources');
});

t.test('a page that a packed page names is packed', async (t) => {
  const { files } = packed;
  const pages = files.filter((path) => path.endsWith('.md'));
  const missing = pages.flatMap((page) => {
    const links = readFileSync(resolve(REPOSITORY, page), 'utf8').matchAll(/\]\(([^)#:]+\.(?:md|jsonc))/g);
    const named = [...links].map(([, link]) => join(dirname(page), link));
    return named.filter((path) => !files.includes(path)).map((path) => `${page}: ${path}`);
  });
  t.same(missing, []);
  t.ok(pages.includes('src/control/README.md'));
});

t.test('installed into an empty folder, it serves from there', async (t) => {
  const { folder, how } = await install(t, packed.tarball, 'zswapd', LONG);
  t.comment(how);
  const own = join(folder, 'node_modules/zswapd');
  const before = readdirSync(own, { recursive: true });
  t.ok(existsSync(join(own, 'node_modules/node-nbd-server/dist/index.js')), 'the library came with it');

  const check = await runAt(folder, 'npx', ['--no-install', 'zswapd', 'config', 'check']);
  // Where npm could not install, nobody made the link that npx looks for.
  if (how.startsWith('npm install')) t.equal(check.code, 0, `npx zswapd config check: ${check.stderr}`);

  const child = spawn(process.execPath, [join(own, 'dist/bin/main.js'), 'serve', '--set', 'exports[0].size=64MiB'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const [ready] = await once(child.stdout, 'data');
  const socketPath = join(folder, 'var/swap0.sock');
  t.equal(String(ready), `ready nbd+unix:///swap0?socket=${socketPath}\n`, 'its state is in the working directory');
  const client = await NbdClient.connect({ socketPath, export: 'swap0' });
  await client.write(8192, Buffer.alloc(4096, 7));
  t.same(await client.read(8192, 4096), Buffer.alloc(4096, 7));
  await client.disconnect();
  const stats = await runAt(folder, process.execPath, [join(own, 'dist/main.js'), 'stats']);
  t.equal(stats.code, 0, 'and its other verbs find it there');
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  t.same(await ended, [0, null]);
  t.same(readFileSync(join(folder, 'var/swap0.img')).subarray(8192, 12288), Buffer.alloc(4096, 7), 'drained');
  t.same(readdirSync(own, { recursive: true }), before, 'nothing was written into the package');
});
