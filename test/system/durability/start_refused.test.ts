// Starts that can't work: exit code 2, one line, nothing created, and whoever runs already is not harmed.
import { existsSync, lstatSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { tempFolder } from '../../support/tmp.ts';
import type { Ended, ServerOptions } from '../../support/zswapd.ts';
import { isMarked, MIB, markerOf, writeSlots, wrongSlots } from './images.ts';

const SIZE = '8MiB';

/** A start in an empty folder that must be refused and leave it empty. */
async function refused(t: Test, o: ServerOptions, line: RegExp): Promise<Ended> {
  const folder = o.folder ?? tempFolder(t);
  const before = readdirSync(folder).sort();
  const ended = await failedStart(t, { size: SIZE, ...o, folder });
  t.equal(ended.code, 2);
  t.equal(ended.stdout, '');
  t.match(ended.stderr, /^[^\n]+\n$/, 'one line');
  t.match(ended.stderr, line);
  t.same(readdirSync(folder).sort(), before, 'nothing was created');
  return ended;
}

t.test('a second server on the same image', async (t) => {
  const first = await startServer(t, { size: SIZE });
  const client = await first.connect();
  await writeSlots(client, 0, 100);
  const marker = statSync(markerOf(first.image)).ino;
  await refused(t, { image: first.image }, /is in use by another process or export/);
  t.equal(statSync(markerOf(first.image)).ino, marker, "the first server's marker is its own");
  t.same(await wrongSlots(client, 0, 100), []);
  await client.disconnect();
  t.equal((await first.stop()).code, 0);
});

t.test('two exports on one image', async (t) => {
  const folder = tempFolder(t);
  const image = join(folder, 'one.img');
  const exports = ['a', 'b'].map((name) => ({ name, size: SIZE, image }));
  await refused(t, { folder, exports }, /is the image of exports\[0\] too/);
});

t.test('a port in use', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => other.once('listening', done));
  t.teardown(() => other.close());
  const { port } = other.address() as { port: number };
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'swap0.img'), '');
  truncateSync(join(folder, 'swap0.img'), 8 * MIB);
  await refused(t, { folder, set: [`listen.tcp=127.0.0.1:${port}`] }, /EADDRINUSE/);
  t.notOk(isMarked(join(folder, 'swap0.img')));
});

t.test('a live unix socket, of the server or of its control plane', async (t) => {
  const first = await startServer(t, { size: SIZE });
  await refused(t, { set: [`listen.unix=${first.socketPath}`] }, /a server already answers on this socket/);
  await refused(t, { set: [`control.listen=${first.controlPath}`] }, /a server already answers on this socket/);
  const client = await first.connect();
  await client.disconnect();
  t.equal((await first.stop()).code, 0);
});

t.test('a left-over socket is replaced, another file is not', async (t) => {
  const first = await startServer(t, { size: SIZE, set: ['durability=strict'] });
  await first.kill9();
  t.ok(lstatSync(first.socketPath).isSocket(), 'a killed server leaves its socket');
  const second = await startServer(t, { size: SIZE, folder: first.folder });
  await (await second.connect()).disconnect();
  t.equal((await second.stop()).code, 0);
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'nbd.sock'), 'mine');
  await refused(t, { folder }, /exists and is not a socket/);
});

t.test('an image of another size', async (t) => {
  for (const bytes of [4 * MIB, 16 * MIB]) {
    const folder = tempFolder(t);
    const image = join(folder, 'swap0.img');
    writeFileSync(image, '');
    truncateSync(image, bytes);
    await refused(t, { folder }, /is not the size of/);
    t.equal(statSync(image).size, bytes);
  }
});

t.test('folders that are not there, and things that are no image', async (t) => {
  const folder = tempFolder(t);
  await refused(t, { folder, image: join(folder, 'no/x.img') }, /folder .*\/no does not exist/);
  await refused(t, { folder, set: [`listen.unix=${folder}/no/s`] }, /listen\.unix: folder .*\/no does not exist/);
  await refused(t, { folder, image: '/dev/null' }, /not an image/);
  t.notOk(existsSync(join(folder, 'no')));
});

t.test('typos in the config', async (t) => {
  await refused(t, { set: ['pool.maxx=1MiB'] }, /pool\.maxx/);
  await refused(t, { set: ['exports[0].size=8MB'] }, /exports\[0\]\.size/);
  await refused(t, { set: ['durability=eventually'] }, /"volatile", "strict"/);
  await refused(t, { set: ['listen.tcp=0.0.0.0:0'] }, /allowRemote/);
  await refused(t, { set: ['listen.unix=null'] }, /unix and tcp are both null/);
});
