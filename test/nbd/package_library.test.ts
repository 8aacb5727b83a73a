// The library's tarball alone: what is in it, that its types are whole, and that it runs where nothing else is.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { install, pack, uncompiled } from '../support/packages.ts';
import { runAt } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';

const packed = await pack(t, 'src/nbd');
const { folder, how } = await install(t, packed.tarball, 'node-nbd-server', false);

t.test('the tarball', async (t) => {
  t.same(uncompiled(packed.files, 'src/nbd'), [], 'all sources, compiled');
  for (const path of ['LICENSE', 'README.md', 'CHANGELOG.md', 'dist/index.js', 'dist/index.d.ts'])
    t.ok(packed.files.includes(path), path);
});

/** The programs of the README that import the package, in order. */
const programs = [
  ...readFileSync(join(folder, 'node_modules/node-nbd-server/README.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs),
]
  .map(([, text]) => text)
  .filter((text) => /^await |^const server/m.test(text));

t.test('its types are whole, without any other package but those of Node', async (t) => {
  t.comment(how);
  for (const [i, text] of programs.entries()) writeFileSync(join(folder, `readme${i}.mts`), text);
  const tsc = resolve(REPOSITORY, 'node_modules/typescript/bin/tsc');
  const types = ['--types', 'node', '--typeRoots', resolve(REPOSITORY, 'node_modules/@types')];
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', ...types];
  const files = programs.map((_, i) => `readme${i}.mts`);
  const { code, stdout } = await runAt(folder, process.execPath, [tsc, ...options, ...files]);
  t.equal(code, 0, stdout);
});

/** Starts a program beside the installed package, uses what it serves, and ends it. */
async function serves(t: Test, socket: string, ...args: string[]): Promise<void> {
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  await new Promise((done) => child.stdout.once('data', done));
  const client = await NbdClient.connect({ socketPath: socket, export: 'ram' });
  await client.write(1000, Buffer.alloc(9000, 7));
  await client.writeZeroes(2000, 10);
  const expected = Buffer.alloc(9000, 7).fill(0, 1000, 1010);
  t.ok((await client.read(1000, 9000)).equals(expected));
  await client.disconnect();
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  t.equal(await ended, 0, 'and closes');
  t.notOk(existsSync(socket));
}

t.test('the first program of the README serves', async (t) => {
  const socket = join(tempFolder(t), 'ram.sock');
  const [first] = programs;
  t.ok(first.split('\n').length < 20, 'it is short');
  const program = first.replace('/tmp/ram.sock', socket).replace('10809', '0');
  t.ok(program.includes(socket));
  writeFileSync(join(folder, 'readme.mjs'), `${program}console.log('up');\n`);
  await serves(t, socket, 'readme.mjs');
});

t.test('a thread that has a device alone loads no server', async (t) => {
  const program = `import * as device from 'node-nbd-server/device';
    console.log(device.NBD_EIO, device.OK, 'serve' in device);`;
  writeFileSync(join(folder, 'device.mjs'), program);
  const { code, stdout } = await runAt(folder, process.execPath, ['device.mjs']);
  t.match({ code, stdout }, { code: 0, stdout: /^5 0 false\n$/ });
});

t.test('and so does the example that came with it', async (t) => {
  const socket = join(tempFolder(t), 'ram.sock');
  await serves(t, socket, 'node_modules/node-nbd-server/dist/examples/ram.js', socket);
});
