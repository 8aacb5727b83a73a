// At a stop each export comes to its end by itself: an image that stalls, or fails, keeps no other from being saved. Nothing
// here looks at a clock: the image stays stalled until the other export is saved.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { loopDevice, mount } from '../../image/images.ts';
import { fuseImage } from '../../support/fuse_image.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { absentPages, isMarked, MIB, writeSlots } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');
const BYTES = 8 * MIB;
const PAGES = 256;

async function until(server: RunningServer, what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) {
    if (server.child.exitCode !== null) throw new Error(`the server has ended: ${server.stderr()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Exports `bad`, on a disk that can be hurt, and `good`, each with pages in the pool. */
async function twoExports(t: Test, lanes: number, settings: readonly string[] = []) {
  const disk = await fuseImage(t, { bytes: BYTES });
  const exports = [
    { name: 'bad', size: '8MiB', image: disk.path },
    { name: 'good', size: '8MiB', image: `${disk.path}-good` },
  ];
  const set = [`lanes=${lanes}`, 'stop.deadline=300ms', 'pool.incompressible=reject', ...settings];
  const server = await startServer(t, { exports, set });
  const [bad, good] = await Promise.all(['bad', 'good'].map((name) => server.connect({ export: name })));
  await writeSlots(bad, 0, PAGES);
  await writeSlots(good, 0, PAGES);
  return { disk, server, bad, good, image: `${disk.path}-good` };
}

async function saved(t: Test, server: RunningServer, image: string): Promise<void> {
  await until(server, () => server.stderr().includes('drained good: its image holds everything'));
  t.notOk(isMarked(image), 'its marker is gone');
  t.same(absentPages(image, 0, PAGES), [], 'its image has every page');
}

for (const lanes of [2, 0]) {
  t.test(`a request waits for a stalled image, lanes=${lanes}`, { skip }, async (t) => {
    const { disk, server, bad, image } = await twoExports(t, lanes);
    await disk.pause();
    const answer = writeSlots(bad, 7, 8, { texture: 'noise' }).catch(() => undefined);
    await until(server, async () => (await server.stats()).pool.image_runs > 0);
    server.child.kill('SIGTERM');
    await saved(t, server, image);
    t.ok(isMarked(disk.path));
    await disk.resume();
    const { code, stderr } = await server.ended;
    t.equal(code, 0, stderr);
    await answer;
    t.notOk(isMarked(disk.path));
    t.same(absentPages(disk.path, 8, PAGES), [], 'the image that stalled has every page as well');
  });

  t.test(`a verb waits for a stalled image, lanes=${lanes}`, { skip }, async (t) => {
    const { disk, server, bad, image } = await twoExports(t, lanes);
    await bad.disconnect();
    await until(server, async () => (await server.stats()).exports[0].clients === 0);
    await disk.pause();
    const answer = fetchControl(server.controlPath, '/swapoff?export=bad&keep', 'POST');
    await until(server, async () => (await server.stats()).exports[0].state === 'keeping');
    server.child.kill('SIGTERM');
    await saved(t, server, image);
    t.ok(isMarked(disk.path));
    await disk.resume();
    t.match(await answer, { state: 'off', kept: true });
    const { code, stderr } = await server.ended;
    t.equal(code, 0, stderr);
    t.notOk(isMarked(disk.path));
    t.same(absentPages(disk.path, 0, PAGES), []);
  });
}

t.test('who aborts the drain of a stalled image is told of that image alone', { skip }, async (t) => {
  const { disk, server, image } = await twoExports(t, 2);
  await disk.pause();
  server.child.kill('SIGTERM');
  await saved(t, server, image);
  await until(server, () => server.stderr().includes('a further SIGTERM or SIGINT aborts the drain'));
  server.child.kill('SIGTERM');
  const stated = `aborted by a second signal: the markers of bad stay, up to ${PAGES} pages are lost`;
  await until(server, () => server.stderr().includes(stated));
  // The kernel keeps a process whose call the disk has taken until the disk answers.
  await disk.resume();
  t.equal((await server.ended).code, 4);
  t.ok(isMarked(disk.path));
  t.notOk(isMarked(image));
});

t.test(
  'who aborts the drain of a hung image is rid of the server, although the image never answers',
  { skip },
  async (t) => {
    const { disk, server, image } = await twoExports(t, 2, ['image.direct=off']);
    await disk.freeze();
    server.child.kill('SIGTERM');
    await saved(t, server, image);
    await until(server, () => server.stderr().includes('a further SIGTERM or SIGINT aborts the drain'));
    server.child.kill('SIGTERM');
    const { code, stderr } = await server.ended;
    t.equal(code, 4);
    t.match(stderr, `aborted by a second signal: the markers of bad stay, up to ${PAGES} pages are lost`);
    disk.thaw();
    t.ok(isMarked(disk.path));
    t.notOk(isMarked(image));
  },
);

t.test('a drain that fails keeps the marker of its own image alone', { skip }, async (t) => {
  const { disk, server, image } = await twoExports(t, 2);
  disk.fail('pwrite');
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, `drain of bad failed: its marker stays, ${PAGES} pages are lost`);
  t.ok(isMarked(disk.path));
  t.notOk(isMarked(image));
  t.same(absentPages(image, 0, PAGES), []);
});

t.test(
  'a frozen file system under an idle export: the others are saved, and a signal still aborts',
  { skip: missing('root', '/dev/loop-control', 'mkfs.ext4', 'fsfreeze') },
  async (t) => {
    const device = loopDevice(t, 32 * MIB);
    execFileSync('mkfs.ext4', ['-q', device]);
    const folder = mount(t, 'ext4', device, 'noatime');
    const image = join(tempFolder(t), 'good');
    const exports = [
      { name: 'bad', size: '8MiB', image: join(folder, 'bad') },
      { name: 'good', size: '8MiB', image },
    ];
    const server = await startServer(t, { exports });
    const good = await server.connect({ export: 'good' });
    await writeSlots(good, 0, PAGES);
    execFileSync('sync', ['-f', folder]);
    execFileSync('fsfreeze', ['-f', folder]);
    let frozen = true;
    const thaw = (): void => {
      if (frozen) execFileSync('fsfreeze', ['-u', folder]);
      frozen = false;
    };
    t.teardown(thaw);
    server.child.kill('SIGTERM');
    await saved(t, server, image);
    await until(server, () => server.stderr().includes('a further SIGTERM or SIGINT aborts the drain'));
    server.child.kill('SIGTERM');
    await until(server, () =>
      server
        .stderr()
        .includes('aborted by a second signal: the images of bad hold everything, and their markers may stay'),
    );
    thaw();
    t.equal((await server.ended).code, 4);
  },
);
