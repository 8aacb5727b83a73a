// A loop device over a block device: the kernel lets both be used at once, so at most one of the two is an image.
import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { lockImage, releaseImage } from '#src/image/lock.js';
import { tempFolder } from '../support/tmp.ts';
import { loopDevice, loopOver, mountsMissing, refused } from './images.ts';

const skip = mountsMissing();
const MIB = 2 ** 20;

/** A node for a block device, `number` as the kernel writes it ("7:1"), in a folder of the test. */
function node(t: Test, number: string): string {
  const path = join(tempFolder(t), 'node');
  execFileSync('mknod', [path, 'b', ...number.trim().split(':')]);
  return path;
}

/** A disk with one partition in its second half, and a node of that. */
function partitioned(t: Test): { disk: string; partition: string } {
  const disk = loopDevice(t, 16 * MIB, '-P');
  execFileSync('addpart', [disk, '1', String((8 * MIB) / 512), String((8 * MIB) / 512)]);
  t.teardown(() => execFileSync('delpart', [disk, '1']));
  const name = basename(disk);
  return { disk, partition: node(t, readFileSync(`/sys/block/${name}/${name}p1/dev`, 'utf8')) };
}

function lockRefused(path: string) {
  return refused(() => releaseImage(lockImage(path)));
}

t.test('a loop device over a block device is no image, and names the one that is', { skip }, async (t) => {
  const disk = loopDevice(t, MIB);
  const twin = loopOver(t, disk);
  t.match(lockRefused(twin), { kind: 'type', message: `${twin}: is a loop device over ${disk}, allowed: that device` });
  const part = loopOver(t, disk, '-o', String(MIB / 2));
  t.match(lockRefused(part), { kind: 'type' });
});

t.test('a block device that a loop device is over is no image until that is gone', { skip }, async (t) => {
  const disk = loopDevice(t, MIB);
  const twin = loopOver(t, disk);
  const allowed = `this device after \`losetup -d ${twin}\``;
  t.match(lockRefused(disk), {
    kind: 'locked',
    message: `${disk}: is in use by the loop device ${twin}, allowed: ${allowed}`,
  });
});

t.test('a loop device over a partition keeps the disk, and one over the disk the partition', { skip }, async (t) => {
  const { disk, partition } = partitioned(t);
  const over = execFileSync('losetup', ['-f', '--show', partition], { encoding: 'utf8' }).trim();
  try {
    for (const path of [partition, disk])
      t.match(lockRefused(path), { kind: 'locked', message: `by the loop device ${over},` });
  } finally {
    execFileSync('losetup', ['-d', over]);
  }
  const overDisk = loopOver(t, disk);
  t.match(lockRefused(partition), { kind: 'locked', message: `by the loop device ${overDisk},` });
});

t.test('a loop device is known by what is behind it, also when that has no path any more', { skip }, async (t) => {
  const disk = loopDevice(t, MIB);
  const number = readFileSync(`/sys/block/${basename(disk)}/dev`, 'utf8');
  const other = node(t, number);
  const twin = loopOver(t, other);
  renameSync(other, `${other}.away`);
  execFileSync('rm', [`${other}.away`]);
  t.match(lockRefused(twin), { kind: 'type' });
  t.match(lockRefused(disk), { kind: 'locked' });
});
