// File systems and devices that lack something: no O_DIRECT, no holes, no size in stat.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { discardImage } from '#src/image/discard.js';
import { releaseImage } from '#src/image/lock.js';
import { markerPlaces } from '#src/image/places.js';
import { dataExtents, prepareImage } from '#src/image/prepare.js';
import { tempFolder } from '../support/tmp.ts';
import {
  filled,
  loopDevice,
  mount,
  mountsMissing,
  openHandle,
  PAGE,
  prepare,
  punch,
  read,
  refused,
  sync,
  write,
} from './images.ts';

const skip = mountsMissing();
const bytes = 64 * PAGE;

t.test('ramfs has neither O_DIRECT nor holes', { skip }, async (t) => {
  const path = join(mount(t, 'ramfs', 'none', 'mode=700'), 'image');
  t.match(
    refused(() => prepareImage({ path, bytes, direct: 'on' })),
    { kind: 'direct' },
  );
  const image = prepare(t, { path, bytes, direct: 'auto' });
  t.notOk(image.direct);
  t.same([...dataExtents(image)], [{ start: 0, end: bytes }]);
  const handle = openHandle(t, image);
  t.equal(await write(handle, 5, filled(1, 2, 3)), 0);
  t.equal(await punch(handle, 6, 1), 0);
  t.equal(await sync(handle), 0);
  t.same(await read(handle, 5, 3), { errno: 0, pages: [1, 0, 3] });
  await discardImage(image);
  t.ok(readFileSync(path).equals(Buffer.alloc(bytes)));
});

for (const sector of ['512', '4096']) {
  t.test(`a block device of ${sector}-byte sectors`, { skip }, async (t) => {
    const device = loopDevice(t, 2 * bytes, '-b', sector);
    t.match(
      refused(() => prepareImage({ path: device, bytes: 4 * bytes, direct: 'auto' })),
      {
        kind: 'size',
        message: new RegExp(`at most ${2 * bytes}$`),
      },
    );
    const image = prepare(t, { path: device, bytes, direct: 'on' });
    t.match(image, { blockDevice: true, bytes, direct: true, created: false });
    t.same([...dataExtents(image)], [{ start: 0, end: bytes }]);
    t.match(
      refused(() => prepareImage({ path: device, bytes, direct: 'auto' })),
      { kind: 'locked' },
    );

    const handle = openHandle(t, image);
    t.equal(await write(handle, 62, filled(1, 2)), 0);
    t.equal(await punch(handle, 62, 1), 0);
    t.equal(await sync(handle), 0);
    t.same(await read(handle, 61, 3), { errno: 0, pages: [0, 0, 2] });
    await discardImage(image);
    t.same(await read(handle, 61, 3), { errno: 0, pages: [0, 0, 0] });
  });
}

t.test(
  'the marker of a loop device lies beside its file, and is looked for where it was before',
  { skip },
  async (t) => {
    const device = loopDevice(t, bytes);
    const image = prepare(t, { path: device, bytes, direct: 'auto' });
    t.match(image.identity, /^loop\/backing_file=\/.*\/disk:loop\/offset=0$/);
    const { path, older } = markerPlaces(image, ['/new', '/state'], device);
    t.match(path, /^\/.*\/disk\.zswapd$/);
    for (const folder of ['new', 'state']) {
      const there = older.filter((one) => one.startsWith(`/${folder}/`));
      t.match(there[0], /\/loop%2F(born|device)%3D[^/]*%3Ainode%3D[^/]*\.zswapd$/);
      t.match(there.at(-1), /\/loop%2Fbacking_file%3D[^/]*\.zswapd$/);
    }
  },
);

t.test('a block device is held under each of its names, and not while it is mounted', { skip }, async (t) => {
  const device = loopDevice(t, 2 ** 21);
  const twin = join(tempFolder(t), 'node');
  execFileSync('mknod', [twin, 'b', String(statSync(device).rdev >> 8), String(statSync(device).rdev & 0xff)]);
  const image = prepareImage({ path: device, bytes, direct: 'auto' });
  t.match(
    refused(() => prepareImage({ path: twin, bytes, direct: 'auto' })),
    { kind: 'locked' },
  );
  releaseImage(image);
  execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', device]);
  mount(t, 'ext4', device, 'ro');
  t.match(
    refused(() => prepareImage({ path: device, bytes, direct: 'auto' })),
    { kind: 'locked' },
  );
});

t.test('data extents of blocks smaller than a page are rounded outward and given once', { skip }, async (t) => {
  const device = loopDevice(t, 2 ** 22);
  execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', '-b', '1024', device]);
  const path = join(mount(t, 'ext4', device, 'noatime'), 'image');
  const image = prepare(t, { path, bytes, direct: 'auto' });
  const fd = openSync(path, 'r+');
  // Two blocks of page 1 with a hole between them, and one of page 3.
  for (const at of [PAGE, PAGE + 2048, 3 * PAGE + 1024]) writeSync(fd, 'x', at);
  closeSync(fd);
  const page = (at: number) => ({ start: at * PAGE, end: (at + 1) * PAGE });
  t.same([...dataExtents(image)], [page(1), page(3)]);
});
