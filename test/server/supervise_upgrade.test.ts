// An upgrade: the server stops cleanly, and the program that is on disk then takes its place, behind the same sockets.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { pageOf } from '../support/random.ts';
import { DURABLE, startSupervised } from '../support/supervised.ts';
import { tempFolder } from '../support/tmp.ts';
import { until } from '../support/until.ts';
import { MAIN, startServer } from '../support/zswapd.ts';

/** A program that says which build it is, and is what is served. */
function build(program: string, name: string): void {
  const lines = [`process.stderr.write('this is ${name}\\n');`, `await import('${pathToFileURL(MAIN).href}');`];
  writeFileSync(program, lines.join('\n'));
}

t.test('an upgrade keeps a client that waits, and what was written', async (t) => {
  const program = join(tempFolder(t), 'zswapd.mjs');
  build(program, 'build one');
  // What is not on the image is drained by the stop.
  const server = await startSupervised(t, { program });
  const client = await server.connect();
  for (let slot = 0; slot < 8; slot++) await client.write(slot * 4096, pageOf(slot, 1));
  const before = server.server();
  build(program, 'build two');
  t.match(await fetchControl(server.controlPath, '/upgrade', 'POST'), { pid: before, supervisor: server.pid });
  // From here on nobody accepts until the next server does.
  await server.logged('"draining"');
  const next = await server.connect();
  for (let slot = 0; slot < 8; slot++) t.same(await next.read(slot * 4096, 4096), pageOf(slot, 1));
  await next.disconnect();
  t.match(server.stderr(), /this is build one\n[\s\S]*this is build two\n/);
  t.match((await server.stats()).supervisor, { restarts: 0, upgrades: 1, lastEnd: 'exit 0' });
  t.match(await server.stop(), { code: 0 });
});

t.test('a program that does not even say its version replaces nothing', async (t) => {
  const program = join(tempFolder(t), 'zswapd.mjs');
  build(program, 'build one');
  const server = await startSupervised(t, { program, set: DURABLE });
  const before = server.server();
  writeFileSync(program, 'this is half a download');
  process.kill(server.pid, 'SIGUSR2');
  t.equal((await server.logged('upgrade refused, the server goes on')).length, 1);
  t.equal(server.server(), before);
  await (await server.connect()).disconnect();
  t.match(await server.stop(), { code: 0 });
});

t.test('a stop that comes while the program on disk is tried stops the server', async (t) => {
  const program = join(tempFolder(t), 'zswapd.mjs');
  build(program, 'build one');
  const server = await startSupervised(t, { program, set: DURABLE });
  // It goes on for ever, and says that it has begun.
  const begun = `${program}.begun`;
  writeFileSync(program, `(await import('node:fs')).writeFileSync('${begun}', ''); setInterval(() => 0, 1000);`);
  process.kill(server.pid, 'SIGUSR2');
  await until(() => existsSync(begun));
  t.match(await server.stop(), { code: 0 });
});

t.test('SIGUSR2 to the server itself does nothing', async (t) => {
  const server = await startSupervised(t, { set: DURABLE });
  const client = await server.connect();
  process.kill(server.server()!, 'SIGUSR2');
  await client.write(0, pageOf(0, 1));
  await client.disconnect();
  t.match((await server.stats()).supervisor, { restarts: 0, upgrades: 0 });
  t.match(await server.stop(), { code: 0 });
});

t.test('a server that nobody supervises says so', async (t) => {
  const server = await startServer(t, { size: '8MiB' });
  await t.rejects(
    fetchControl(server.controlPath, '/upgrade', 'POST'),
    /has no supervisor, allowed: serve --supervise/,
  );
  t.equal((await server.stats()).supervisor, null);
  t.match(await server.stop(), { code: 0 });
});
