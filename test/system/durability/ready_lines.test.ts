// What a server says: stdout has the ready lines and nothing else, and neither stream is needed for serving.
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { startServer } from '../../support/one_thread.ts';
import { tempFolder } from '../../support/tmp.ts';
import { spawnServer } from '../../support/zswapd.ts';
import { isMarked, writeSlots, wrongSlots } from './images.ts';

t.test('one line per export and socket, which lead to it', async (t) => {
  const folder = tempFolder(t);
  const exports = ['swap0', 'b'].map((name) => ({ name, size: '8MiB', image: join(folder, `${name}.img`) }));
  const server = await startServer(t, { folder, exports, set: ['listen.tcp=127.0.0.1:0'] });
  const port = /:(\d+)\//.exec(server.uris.find((uri) => uri.startsWith('nbd:')) ?? '')?.[1];
  t.same([...server.uris].sort(), [
    `nbd+unix:///b?socket=${server.socketPath}`,
    `nbd+unix:///swap0?socket=${server.socketPath}`,
    `nbd://127.0.0.1:${port}/b`,
    `nbd://127.0.0.1:${port}/swap0`,
  ]);
  const client = await NbdClient.connect({ port: Number(port), export: 'b' });
  await writeSlots(client, 0, 4);
  await client.disconnect();
  const { code, stdout } = await server.stop();
  t.equal(code, 0);
  t.equal(stdout, server.uris.map((uri) => `ready ${uri}\n`).join(''));
});

t.test('odd paths and names are percent-encoded', async (t) => {
  const folder = join(tempFolder(t), 'a b%c?d&é#');
  mkdirSync(folder);
  const name = 'swäp 0/x?y';
  const exports = [{ name, size: '8MiB', image: join(folder, 'i m%g.img') }];
  const server = await startServer(t, { folder, exports });
  t.match(server.unixUri, /^[!-~]+$/, 'no space and nothing beyond ASCII');
  const uri = new URL(server.unixUri);
  t.equal(decodeURIComponent(uri.pathname.slice(1)), name);
  t.equal(uri.searchParams.get('socket'), server.socketPath);
  const client = await server.connect({ export: name });
  await writeSlots(client, 0, 4);
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});

t.test('closed stdout and stderr do not stop the server', async (t) => {
  const server = await startServer(t, { size: '8MiB', set: ['log.level=debug'] });
  server.child.stdout!.destroy();
  server.child.stderr!.destroy();
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  t.same(await wrongSlots(client, 0, 64), []);
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
  t.notOk(isMarked(server.image));
});

t.test('nor do streams that were never open, or are full', async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  for (const stdio of [
    ['ignore', 'ignore', 'ignore'],
    ['ignore', full, full],
    ['ignore', full, 'pipe'],
  ] as const) {
    const server = spawnServer(t, { size: '8MiB', stdio: [...stdio] });
    const client = await connected(server.socketPath, () => server.child.exitCode === null);
    await writeSlots(client, 0, 64);
    await client.disconnect();
    server.child.kill('SIGTERM');
    const { code, stderr } = await server.ended;
    t.equal(code, 0);
    if (stdio[2] === 'pipe') t.match(stderr, /"level":40,[^\n]*"msg":"the ready lines could not be written to stdout"/);
  }
});

/** There is no ready line to wait for. */
async function connected(socketPath: string, alive: () => boolean): Promise<NbdClient> {
  for (;;) {
    try {
      return await NbdClient.connect({ socketPath, export: 'swap0' });
    } catch (error) {
      if (!alive()) throw error;
    }
  }
}
