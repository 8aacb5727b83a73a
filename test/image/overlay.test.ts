// A file of an overlay has a second path, in the upper folder, and a lock of its own on each: it is held under both.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { releaseImage } from '#src/image/lock.js';
import { prepareImage } from '#src/image/prepare.js';
import { tempFolder } from '../support/tmp.ts';
import { loopDevice, loopOver, mount, mountsMissing, PAGE, prepare, refused } from './images.ts';

const skip = mountsMissing();
const bytes = 16 * PAGE;

/** The two paths that a file of an overlay has. */
function overlayPaths(t: Test, relative = false): { path: string; other: string } {
  const device = loopDevice(t, 2 ** 23);
  execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', device]);
  const disk = mount(t, 'ext4', device, 'noatime');
  const [upper, work, lower] = [join(disk, 'up per,x'), join(disk, 'work'), tempFolder(t)];
  for (const folder of [upper, work, join(lower, 'a')]) mkdirSync(folder);
  const options = (from: string) =>
    `lowerdir=${lower},upperdir=${from}${upper.slice(disk.length + 1).replace(',', '\\,')},workdir=${from}work`;
  const merged = relative ? tempFolder(t) : mount(t, 'overlay', 'overlay', options(`${disk}/`));
  if (relative) {
    // As mount(8) has it from a shell in that folder: nobody else can tell where it is.
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options(''), merged], { cwd: disk });
    t.teardown(() => execFileSync('umount', [merged]));
  }
  return { path: join(merged, 'a', 'image'), other: join(upper, 'a', 'image') };
}

t.test('an image in use is refused by its other path', { skip }, async (t) => {
  const { path, other } = overlayPaths(t);
  const image = prepareImage({ path, bytes, direct: 'auto' });
  t.match(
    refused(() => prepareImage({ path: other, bytes, direct: 'auto' })),
    { kind: 'locked' },
  );
  releaseImage(image);
  const first = prepareImage({ path: other, bytes, direct: 'auto' });
  t.match(
    refused(() => prepareImage({ path, bytes, direct: 'auto' })),
    { kind: 'locked' },
  );
  releaseImage(first);
  t.notOk(prepare(t, { path, bytes, direct: 'auto' }).created);
});

t.test('a loop device over one path holds the file under the other', { skip }, async (t) => {
  const { path, other } = overlayPaths(t);
  writeFileSync(path, new Uint8Array(bytes));
  const device = execFileSync('losetup', ['-f', '--show', path], { encoding: 'utf8' }).trim();
  t.match(
    refused(() => prepareImage({ path: other, bytes, direct: 'off' })),
    { kind: 'locked', message: `losetup -d ${device}` },
  );
  execFileSync('losetup', ['-d', device]);
  const part = loopOver(t, path, '-o', String(8 * PAGE));
  const image = prepareImage({ path: part, bytes: 8 * PAGE, direct: 'off' });
  const twin = loopOver(t, other);
  t.match(
    refused(() => prepareImage({ path: twin, bytes, direct: 'off' })),
    { kind: 'locked', message: 'is in use by another process' },
  );
  releaseImage(image);
});

t.test('a loop device is seen through an overlay whose upper folder can not be told', { skip }, async (t) => {
  const { path, other } = overlayPaths(t, true);
  writeFileSync(path, new Uint8Array(bytes));
  for (const [over, image] of [
    [path, other],
    [other, path],
  ]) {
    const device = execFileSync('losetup', ['-f', '--show', over], { encoding: 'utf8' }).trim();
    t.match(
      refused(() => prepareImage({ path: image, bytes, direct: 'off' })),
      { kind: 'locked', message: `losetup -d ${device}` },
    );
    execFileSync('losetup', ['-d', device]);
  }
  t.ok(prepare(t, { path, bytes, direct: 'auto' }));
});
