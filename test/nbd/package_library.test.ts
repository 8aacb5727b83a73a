// The library's tarball alone: what is in it, that its types are whole, and that it runs where nothing else is.
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { install, pack, strays } from '../support/packages.ts';
import { runAt } from '../support/run_process.ts';

const packed = await pack(t, 'src/nbd');
const { folder, how } = await install(t, packed.tarball, 'node-nbd-server', false);

t.test('the tarball', async (t) => {
  t.same(strays(packed.files, 'src/nbd'), [], 'nothing that no source stands behind');
  for (const path of ['LICENSE', 'README.md', 'CHANGELOG.md', 'dist/index.js', 'dist/index.d.ts'])
    t.ok(packed.files.includes(path), path);
});

t.test('its types are whole, without any other package but those of Node', async (t) => {
  t.comment(how);
  const program = `import { NbdClient, NbdServer, type Device } from 'node-nbd-server';
const devices: Device[] = [];
const server = new NbdServer({ devices });
await server.listen({ port: 0 });
const page: Buffer = await (await NbdClient.connect({ port: server.port })).read(0, 4096);
page.fill(0);
`;
  writeFileSync(join(folder, 'program.mts'), program);
  const tsc = resolve(REPOSITORY, 'node_modules/typescript/bin/tsc');
  const types = ['--types', 'node', '--typeRoots', resolve(REPOSITORY, 'node_modules/@types')];
  const args = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', ...types, 'program.mts'];
  const { code, stdout } = await runAt(folder, process.execPath, [tsc, ...args]);
  t.equal(code, 0, stdout);
});
