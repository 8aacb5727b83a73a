// The examples of the README run as they stand there, the client's against the server's. Their sockets alone are elsewhere.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import ts from 'typescript';
import { REPOSITORY } from '#src/config/fields.js';
import { tempFolder } from '../support/tmp.ts';

const README = resolve(REPOSITORY, 'src/nbd/README.md');
const examples = [...readFileSync(README, 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
const example = (what: string): string => examples.find((code) => code.includes(what)) ?? '';

/** Runs an example to its end, or to a line that it says; resolves with its exit code when that comes. */
function start(t: Test, folder: string, name: string, code: string) {
  const module = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  const here = code.replaceAll("'node-nbd-server'", JSON.stringify(import.meta.resolve('node-nbd-server')));
  const path = join(folder, `${name}.mjs`);
  writeFileSync(path, ts.transpileModule(here, { compilerOptions: module }).outputText);
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return { child, ended: once(child, 'close').then(([code]) => ({ code, stderr })) };
}

t.test("the client's example works with the server's", async (t) => {
  const folder = tempFolder(t);
  const socket = join(folder, 's');
  const serving = example('new nbd.NbdServer').replaceAll('/tmp/ram.sock', socket);
  const server = start(
    t,
    folder,
    'server',
    `${serving}\nprocess.once('SIGTERM', () => server.close());\nconsole.log('ready');`,
  );
  await Promise.race([once(server.child.stdout, 'data'), server.ended]);
  // The last line is about a server on TCP, which is asked for its list.
  const calling = example('NbdClient.connect')
    .replace('/run/disk.sock', socket)
    .replace("export: 'disk'", "export: 'ram'")
    .replace("{ host: '127.0.0.1', port: 10809 }", `{ socketPath: ${JSON.stringify(socket)} }`);
  t.same(await start(t, folder, 'client', calling).ended, { code: 0, stderr: '' });
  server.child.kill('SIGTERM');
  t.same(await server.ended, { code: 0, stderr: '' });
});
