// A marker whose image is gone, empty or another file: nobody is served zeros or another file's bytes as what was flushed.
// That an image is gone is decided before it matters how durable it was: a plain run has each of the two in each way once,
// ZSWAPD_LONG=1 all pairs.
import {
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import t, { type Test } from 'tap';
import { fuseImage } from '../../support/fuse_image.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { run } from '../../support/run_process.ts';
import { MAIN, type RunningServer } from '../../support/zswapd.ts';
import { isMarked, MIB, markerOf, writeSlots, wrongSlots } from './images.ts';

const SIZE = '8MiB';
const STRICT = 'durability=strict';
const VOLATILE = 'durability=volatile';
const LONG = process.env.ZSWAPD_LONG === '1';

t.setTimeout(120_000);

/** A server that was killed after a FLUSH, or, if it is volatile, with data in its pool. */
async function killed(t: Test, durability = STRICT): Promise<RunningServer> {
  const server = await startServer(t, { size: SIZE, set: [durability] });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  if (durability === STRICT) await client.flush();
  await server.kill9();
  t.ok(isMarked(server.image));
  return server;
}

const gone: readonly (readonly [string, (image: string) => void])[] = [
  ['missing', (image) => rmSync(image)],
  ['empty', (image) => truncateSync(image, 0)],
];

for (const [what, make] of gone) {
  for (const durability of LONG ? [STRICT, VOLATILE] : [what === 'missing' ? STRICT : VOLATILE]) {
    t.test(`${durability}: an image that is ${what} is refused, and the refusal changes nothing`, async (t) => {
      const server = await killed(t, durability);
      make(server.image);
      const marker = readFileSync(markerOf(server.image), 'utf8');
      for (const onUnclean of ['refuse', 'serve']) {
        const set = [durability, `exports[0].onUnclean=${onUnclean}`];
        const { code, stderr } = await failedStart(t, { size: SIZE, folder: server.folder, set });
        t.equal(code, 3, onUnclean);
        t.match(stderr, `its image is gone: the file is ${what}`);
        t.match(stderr, `image reset ${server.image}\``);
        t.equal(existsSync(server.image) ? statSync(server.image).size : 'missing', what === 'empty' ? 0 : 'missing');
        t.equal(readFileSync(markerOf(server.image), 'utf8'), marker);
      }
      t.match(await run(MAIN, ['image', 'reset', server.image]), { code: 0, stderr: /its image is gone.*removed / });
      t.notOk(isMarked(server.image));
      const again = await startServer(t, { size: SIZE, folder: server.folder, set: [durability] });
      t.equal((await again.stop()).code, 0);
    });
  }

  t.test(`onUnclean: reset starts anew where the image is ${what}, and says so`, async (t) => {
    const server = await killed(t);
    make(server.image);
    const set = [STRICT, 'exports[0].onUnclean=reset'];
    const again = await startServer(t, { size: SIZE, folder: server.folder, set });
    t.not((await again.logged('its image is gone; onUnclean is reset: starts empty')).length, 0);
    t.equal((await again.stop()).code, 0);
    t.notOk(isMarked(server.image));
  });
}

t.test('strict: another file in the place of the image is refused, until it is served or reset by name', async (t) => {
  const server = await killed(t);
  renameSync(server.image, `${server.image}.old`);
  writeFileSync(server.image, Buffer.alloc(8 * MIB));
  const { code, stderr } = await failedStart(t, { size: SIZE, folder: server.folder, set: [STRICT] });
  t.equal(code, 3);
  t.match(stderr, 'is not the image that its last server');
  t.match(stderr, "`--set 'exports[0].onUnclean=serve'`");
  const set = [STRICT, 'exports[0].onUnclean=serve'];
  const serving = await startServer(t, { size: SIZE, folder: server.folder, set });
  await serving.kill9();
  // Nobody vouches for that file now, whatever was flushed on top of it.
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder, set: [STRICT] })).code, 3);
});

t.test('strict: a copy with the bytes of the image is another file; the image put back is served', async (t) => {
  const server = await killed(t);
  renameSync(server.image, `${server.image}.old`);
  copyFileSync(`${server.image}.old`, server.image);
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder, set: [STRICT] })).code, 3);
  renameSync(`${server.image}.old`, server.image);
  const again = await startServer(t, { size: SIZE, folder: server.folder, set: [STRICT] });
  t.same(await wrongSlots(await again.connect(), 0, 64), []);
});

t.test('strict: an inode number that is used again does not make it the image', async (t) => {
  const server = await killed(t);
  const marker = JSON.parse(readFileSync(markerOf(server.image), 'utf8'));
  writeFileSync(markerOf(server.image), JSON.stringify({ ...marker, born: '1.000000001' }));
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder, set: [STRICT] })).code, 3);
});

t.test('strict: a marker of a version that wrote less is believed', async (t) => {
  const server = await killed(t);
  const { identity, durability, pid, started, bootId } = JSON.parse(readFileSync(markerOf(server.image), 'utf8'));
  writeFileSync(markerOf(server.image), JSON.stringify({ identity, durability, pid, started, bootId }));
  const again = await startServer(t, { size: SIZE, folder: server.folder, set: [STRICT] });
  t.same(await wrongSlots(await again.connect(), 0, 64), []);
});

t.test('strict: a device number that a boot has changed does not make it another file', async (t) => {
  const server = await killed(t);
  const marker = JSON.parse(readFileSync(markerOf(server.image), 'utf8'));
  const identity = marker.identity.replace(/^\d+/, '1');
  writeFileSync(markerOf(server.image), JSON.stringify({ ...marker, identity, bootId: 'another' }));
  const again = await startServer(t, { size: SIZE, folder: server.folder, set: [STRICT] });
  t.same(await wrongSlots(await again.connect(), 0, 64), []);
});

t.test('strict: a boot that is not known excuses no other device number', async (t) => {
  const server = await killed(t);
  const { identity, durability, pid, started } = JSON.parse(readFileSync(markerOf(server.image), 'utf8'));
  const unknown = { durability, pid, started, bootId: null };
  const moved = { ...unknown, identity: identity.replace(/^\d+/, '1') };
  writeFileSync(markerOf(server.image), JSON.stringify(moved));
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder, set: [STRICT] })).code, 3);
  writeFileSync(markerOf(server.image), JSON.stringify({ ...unknown, identity }));
  const again = await startServer(t, { size: SIZE, folder: server.folder, set: [STRICT] });
  t.same(await wrongSlots(await again.connect(), 0, 64), []);
});

t.test('strict: a stop that found the image changed leaves a marker that nobody vouches for', async (t) => {
  const server = await startServer(t, { size: SIZE, set: [STRICT] });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  await client.flush();
  await client.disconnect();
  truncateSync(server.image, 0);
  t.equal((await server.stop()).code, 4);
  truncateSync(server.image, 8 * MIB);
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder, set: [STRICT] })).code, 3);
});

t.test('strict: an image that was moved away under the server is not made anew by the next start', async (t) => {
  const server = await startServer(t, { size: SIZE, set: [STRICT] });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  await client.flush();
  await client.disconnect();
  renameSync(server.image, `${server.image}.old`);
  t.equal((await server.stop()).code, 4);
  t.equal((await failedStart(t, { size: SIZE, folder: server.folder, set: [STRICT] })).code, 3);
  t.notOk(existsSync(server.image));
});

const fuse = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');

t.test('strict: on FUSE the number of a file need not last, so another one is believed', { skip: fuse }, async (t) => {
  const disk = await fuseImage(t, { bytes: 8 * MIB });
  const o = { size: SIZE, image: disk.path, set: [STRICT] };
  const server = await startServer(t, o);
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  await client.flush();
  await server.kill9();
  const marker = JSON.parse(readFileSync(markerOf(disk.path), 'utf8'));
  writeFileSync(markerOf(disk.path), JSON.stringify({ ...marker, identity: '7:999999' }));
  const again = await startServer(t, o);
  t.same(await wrongSlots(await again.connect(), 0, 64), []);
  await again.kill9();
});

t.test('config check refuses what a start does', async (t) => {
  const server = await killed(t);
  rmSync(server.image);
  const exported = JSON.stringify([{ name: 'swap0', size: SIZE, image: server.image }]);
  const sets = [`exports=${exported}`, `listen.unix=${server.folder}/n.sock`, 'control.listen=null'];
  const args = ['config', 'check', ...sets.flatMap((one) => ['--set', one])];
  t.match(await run(MAIN, args), { code: 3, stderr: /its image is gone: the file is missing/ });
  t.notOk(existsSync(server.image));
});
