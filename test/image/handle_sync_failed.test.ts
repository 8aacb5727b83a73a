// A failed sync stays failed on every handle, although the kernel reports it once and then forgets it.
import { execFileSync } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { FLAG_SYNC_FAILED } from '#src/image/descriptor_image.js';
import { filled, mount, mountsMissing, newFlags, openHandle, PAGE, prepare, read, sync, write } from './images.ts';

const MIB = 2 ** 20;

t.test('page cache that can not be written back', { skip: mountsMissing() }, async (t) => {
  const device = hollowDevice(t, 8 * MIB);
  const image = prepare(t, { path: device, bytes: 8 * MIB, direct: 'off' });
  const flags = newFlags();
  const handle = openHandle(t, image, flags);
  const other = openHandle(t, image, flags);
  t.equal(await sync(handle), 0);
  t.equal(await write(handle, 0, filled(...new Array<number>((4 * MIB) / PAGE).fill(1))), 0);
  t.equal(await sync(handle), 5);
  t.equal(flags[FLAG_SYNC_FAILED], 1);
  const fresh = openSync(device, 'r+');
  t.doesNotThrow(() => fdatasyncSync(fresh), 'the kernel has forgotten it');
  closeSync(fresh);
  t.equal(await sync(handle), 5);
  t.equal(await sync(other), 5);
  // What the kernel could not write reads as older bytes once it has left the page cache.
  t.equal((await read(other, 0, 1)).errno, 5);
});

/** A loop device whose backing file system has room for a part of it only. */
function hollowDevice(t: Test, bytes: number): string {
  const file = join(mount(t, 'tmpfs', 'none', 'size=1m'), 'disk');
  writeFileSync(file, '');
  truncateSync(file, bytes);
  const device = execFileSync('losetup', ['-f', '--show', file], { encoding: 'utf8' }).trim();
  t.teardown(() => execFileSync('losetup', ['-d', device]));
  return device;
}
