// The same server behind a unix socket, loopback TCP, and a listening socket that it was given (LISTEN_FDS).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { serverArguments } from '../../support/zswapd.ts';
import { noise, succeed, writeMixedFile } from './tools.ts';

const INHERIT = fileURLToPath(new URL('./inherit_socket.js', import.meta.url));
const MIB = 1 << 20;

t.test('loopback TCP and the unix socket show one device', async (t) => {
  const server = await startServer(t, { set: ['listen.tcp=127.0.0.1:0', 'pool.max=2MiB'] });
  const uri = server.uris.find((one) => one.startsWith('nbd:')) ?? '';
  t.match(uri, /^nbd:\/\/127\.0\.0\.1:\d+\/swap0$/);
  const tcp = await NbdClient.connect({ port: Number(new URL(uri).port), export: 'swap0' });
  const unix = await server.connect();
  const data = noise(1, 3 * MIB);
  await tcp.write(512, data);
  t.ok((await unix.read(512, data.length)).equals(data));
  await unix.trim(0, MIB);
  t.ok((await tcp.read(0, MIB)).every((byte) => byte === 0));
  await tcp.disconnect();
  await unix.disconnect();
  t.match(await server.stop(), { code: 0 });
});

t.test('nbdcopy over TCP', { skip: missing('nbdcopy', 'cmp') }, async (t) => {
  const server = await startServer(t, { set: ['listen.tcp=127.0.0.1:0', 'pool.max=2MiB'] });
  const uri = server.uris.find((one) => one.startsWith('nbd:')) ?? '';
  const folder = tempFolder(t);
  writeMixedFile(join(folder, 'source'), 64 * MIB);
  await succeed(t, 'nbdcopy', ['--connections=4', join(folder, 'source'), uri]);
  await succeed(t, 'nbdcopy', ['--connections=4', uri, join(folder, 'back')]);
  await succeed(t, 'cmp', [join(folder, 'source'), join(folder, 'back')]);
  t.match(await server.stop(), { code: 0 });
});

/** A service with PrivateNetwork= is in a network namespace, whose tables in /proc do not have the socket that it is given. */
const APART = { wrap: ['unshare', '--net'], skip: missing('unshare', 'root') };
const HERE = { wrap: [], skip: false };

for (const { kind, what, wrap, skip } of [
  { kind: 'unix', what: 'an inherited unix socket', ...HERE },
  { kind: 'unix', what: 'an inherited unix socket of another network namespace', ...APART },
  { kind: 'TCP', what: 'an inherited TCP socket', ...HERE },
]) {
  t.test(what, { skip }, async (t) => {
    const folder = tempFolder(t);
    const where = kind === 'unix' ? join(folder, 'given.sock') : '0';
    const command = [...wrap, process.execPath, ...serverArguments(folder)];
    const launcher = spawn(process.execPath, [INHERIT, where, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(launcher, 'close');
    t.teardown(() => launcher.kill('SIGTERM'));
    let [stdout, stderr] = ['', ''];
    launcher.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    launcher.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    const early = ended.then(() => Promise.reject(new Error(`ended before it was ready: ${stderr}`)));
    early.catch(() => undefined);
    while (!stdout.includes('\n')) await Promise.race([once(launcher.stdout, 'data'), early]);
    t.notOk(existsSync(join(folder, 'nbd.sock')), 'what was given replaces listen.*');
    const uri = /^ready (\S+)\n$/.exec(stdout)?.[1] ?? '';
    const client = await NbdClient.connect(
      kind === 'unix' ? { socketPath: where, export: 'swap0' } : { port: Number(new URL(uri).port), export: 'swap0' },
    );
    await client.write(4096, noise(9, 8192));
    t.ok((await client.read(4096, 8192)).equals(noise(9, 8192)));
    await client.disconnect();
    if (missing('nbdinfo') === false) t.match(await succeed(t, 'nbdinfo', ['--size', uri]), /^67108864$/m);
    launcher.kill('SIGTERM');
    t.same(await ended, [0, null], stderr);
  });
}
