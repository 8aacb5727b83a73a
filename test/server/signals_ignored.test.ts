// A signal that was ignored when the server was started (nohup, a background job of a shell) stays ignored. SIGTERM stops.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { ignoredSignals } from '#src/server/signals.js';
import { tempFolder } from '../support/tmp.ts';
import { serverArguments } from '../support/zswapd.ts';

const SERVE = resolve(REPOSITORY, 'scripts/serve');

interface Served {
  readonly child: ChildProcess;
  readonly socketPath: string;
  stderr(): string;
  /** The exit code, once it has ended. */
  readonly ended: Promise<number | null>;
}

/** scripts/serve below `command`, which ends in exec: the process that was started is the server's. */
async function serveBelow(t: Test, command: string[]): Promise<Served> {
  const folder = tempFolder(t);
  const [, , ...args] = serverArguments(folder, { size: '8MiB' });
  const [program, ...rest] = [...command, SERVE, ...args];
  // nohup only ignores; with a terminal it would redirect as well.
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const early = ended.then((code) => Promise.reject(new Error(`ended with ${code} before it was ready: ${stderr}`)));
  early.catch(() => undefined);
  await Promise.race([once(child.stdout, 'data'), early]);
  t.match(readFileSync(`/proc/${child.pid}/cmdline`, 'utf8'), /^node\0/, 'it has become the server');
  return { child, socketPath: join(folder, 'nbd.sock'), stderr: () => stderr, ended };
}

/** Sends the signal and shows that the server still answers: a request that came later was served. */
async function survives(t: Test, { child, socketPath }: Served, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  const client = await NbdClient.connect({ socketPath, export: 'swap0' });
  await client.write(0, Buffer.alloc(4096, 7));
  await client.disconnect();
  t.equal(child.exitCode, null, `${signal} did not stop it`);
}

t.test('nohup: SIGHUP is ignored, SIGINT stops', async (t) => {
  const server = await serveBelow(t, ['nohup']);
  await survives(t, server, 'SIGHUP');
  server.child.kill('SIGINT');
  t.equal(await server.ended, 0);
  t.match(server.stderr(), 'SIGHUP is ignored, as it was by who started this server');
  t.match(server.stderr(), '"signal":"SIGINT"');
});

t.test("a shell's background job: SIGINT is ignored, SIGTERM stops", async (t) => {
  // Ctrl-C at the terminal is for what runs in front.
  const server = await serveBelow(t, ['sh', '-c', `trap '' INT TERM; exec "$@"`, 'sh']);
  await survives(t, server, 'SIGINT');
  server.child.kill('SIGTERM');
  t.equal(await server.ended, 0);
  t.match(server.stderr(), '"signal":"SIGTERM"');
});

t.test('nothing ignored: SIGHUP stops', async (t) => {
  const server = await serveBelow(t, ['env']);
  server.child.kill('SIGHUP');
  t.equal(await server.ended, 0);
  t.notMatch(server.stderr(), 'ignored');
});

t.test('the mask of the launcher', async (t) => {
  const read = (mask?: string): readonly string[] => ignoredSignals(mask === undefined ? {} : { ZSWAPD_SIGIGN: mask });
  t.same(read(), [], 'none: started without scripts/serve');
  t.same(read('0000000000000000'), []);
  t.same(read('0000000000000001'), ['SIGHUP']);
  t.same(read('0000000000000002'), ['SIGINT']);
  t.same(read('ffffffffffffffff'), ['SIGHUP', 'SIGINT'], 'SIGTERM is never among them');
  t.same(read('fffffffffffffffc'), []);
  t.same(read('what'), []);
});
