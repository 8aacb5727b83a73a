// Images without holes are written over with zeros: what is told on the way is on the disk, not in memory.
import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { discardImage } from '#src/image/discard.js';
import { lockImage, releaseImage } from '#src/image/lock.js';
import { type FuseImage, fuseImage } from '../support/fuse_image.ts';
import { missing } from '../support/requires.ts';
import { loopOver, mountsMissing } from './images.ts';

const MIB = 2 ** 20;
const skip = mountsMissing() || missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit');

interface Disk {
  readonly disk: FuseImage;
  readonly told: number[];
  discard(): Promise<void>;
}

/** A block device that can't discard, cached as block devices are. */
async function device(t: Test, bytes: number): Promise<Disk> {
  const disk = await fuseImage(t, { bytes, holes: false });
  const image = lockImage(loopOver(t, disk.path));
  t.teardown(() => releaseImage(image));
  const told: number[] = [];
  const pace = { ended: new AbortController().signal, moved: (at: number) => void told.push(at) };
  return { disk, told, discard: () => discardImage(image, pace) };
}

t.test('nothing is told of zeros that the disk has not taken', { skip }, async (t) => {
  const { disk, told, discard } = await device(t, 8 * MIB);
  disk.fail('pwrite');
  await t.rejects(discard(), /EIO/);
  t.same(told, []);
});

t.test('a large block device is told of as it goes to the disk', { skip }, async (t) => {
  const { told, discard } = await device(t, 136 * MIB);
  await discard();
  t.same(
    told.map((at) => at / MIB),
    [64, 128, 136],
  );
});

t.test('a file that takes neither holes nor another size is written over', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: 2 * MIB, holes: false });
  writeFileSync(disk.path, Buffer.alloc(2 * MIB, 7), { flag: 'r+' });
  const image = lockImage(disk.path);
  t.teardown(() => releaseImage(image));
  await discardImage(image);
  t.ok(readFileSync(disk.path).equals(Buffer.alloc(2 * MIB)));
});
