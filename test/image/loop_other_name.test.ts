// A loop device over the file of an image under another name: one that is gone, or a mount of the file alone.
import { execFileSync } from 'node:child_process';
import { linkSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lockImage, releaseImage } from '#src/image/lock.js';
import { tempFolder } from '../support/tmp.ts';
import { loopOver, mountsMissing, refused } from './images.ts';

const skip = mountsMissing();

function imageIn(t: Test): { image: string; other: string } {
  const folder = tempFolder(t);
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, 2 ** 20);
  return { image, other: join(folder, 'other') };
}

function isRefused(t: Test, image: string, device: string): void {
  const error = refused(() => releaseImage(lockImage(image)));
  t.match(error, { kind: 'locked', message: `is the file behind ${device}, allowed: that device` });
}

t.test('a hard link that was removed', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  linkSync(image, other);
  const device = loopOver(t, other);
  rmSync(other);
  isRefused(t, image, device);
});

t.test('a name of before', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  renameSync(image, other);
  const device = loopOver(t, other);
  renameSync(other, image);
  isRefused(t, image, device);
});

t.test('a mount of the file alone', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  writeFileSync(other, '');
  execFileSync('mount', ['--bind', image, other]);
  try {
    isRefused(t, image, loopOver(t, other));
  } finally {
    execFileSync('umount', ['-l', other]);
  }
});
