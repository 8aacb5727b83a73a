// Loop devices that can't be opened by whoever starts, and were made under a path that leads nowhere from there: as a service
// that is not root has them, and a container without their nodes or without sysfs.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { linkSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { deviceNumber } from '#src/os/device_number.js';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';
import { loopOver, mountsMissing } from './images.ts';

const skip = missing('unshare') || mountsMissing();
const NO_NODES = 'mount -t tmpfs none /dev';
const NO_SYSFS = 'mount -t tmpfs none /sys';
/** No device of another test has such a size, or is over a file of such a name. */
const BYTES = 2 ** 20 + 7 * 4096 + 100;
const NAME = `image of ${process.pid}`;

/** What a start says that can't see the nodes; 'held' where it has the image. */
async function startWithout(t: Test, hide: string, image: string): Promise<string> {
  const script = resolve(REPOSITORY, 'dist/test/image/hold_image.js');
  const args = ['-m', 'sh', '-c', `${hide} && exec "$0" "$@"`, process.execPath, script, image, String(BYTES)];
  const started = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => started.kill('SIGKILL'));
  const [said] = await Promise.race([once(started.stdout, 'data'), text(started.stderr).then((line) => [line])]);
  return String(said).trim();
}

function imageIn(t: Test, bytes = BYTES): { folder: string; image: string; other: string } {
  const folder = tempFolder(t);
  const [image, other] = [join(folder, NAME), join(folder, 'other')];
  writeFileSync(image, '');
  truncateSync(image, bytes);
  return { folder, image, other };
}

/** Why it can't be had: devices of other tests are as unseen, and smaller. */
function alone(): string | false {
  if (skip) return skip;
  const others = execFileSync('losetup', ['--noheadings', '--list', '--output', 'NAME'], { encoding: 'utf8' }).trim();
  return others === '' ? false : `this machine has other loop devices: ${others}`;
}

/** Over the image, made by a name that is gone. */
function hiddenLoop(t: Test, image: string, other: string): string {
  linkSync(image, other);
  const device = loopOver(t, other);
  rmSync(other);
  return device;
}

/** Where nothing tells more than the size, those of other tests may be meant as well. */
const ANY = /\/dev\/loop\d+ can't be opened here, and may be over this image, allowed: /;

t.test('one that has its size', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  const device = hiddenLoop(t, image, other);
  t.match(await startWithout(t, NO_NODES, image), `${device} can't be opened here, and may be over this image`);
});

t.test('one that has its size, without sysfs', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  hiddenLoop(t, image, other);
  t.match(await startWithout(t, `${NO_NODES} && ${NO_SYSFS}`, image), ANY);
});

t.test('one over a part of that size or less', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  linkSync(image, other);
  const device = loopOver(t, other, '--offset', '8192', '--sizelimit', '4096');
  rmSync(other);
  t.match(await startWithout(t, NO_NODES, image), `${device} can't be opened here`);
});

t.test('one that has its name, also when the file has grown since', { skip }, async (t) => {
  const { image } = imageIn(t, 8192);
  const device = hiddenLoop(t, image, join(tempFolder(t), NAME));
  truncateSync(image, BYTES);
  t.match(await startWithout(t, NO_NODES, image), `${device} can't be opened here`);
});

t.test('one that has an offset, where there is no sysfs to tell of it', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  linkSync(image, other);
  loopOver(t, other, '--offset', '65536');
  rmSync(other);
  t.match(await startWithout(t, `${NO_NODES} && ${NO_SYSFS}`, image), ANY);
});

t.test('one whose path leads to another file of that name from here', { skip }, async (t) => {
  const { folder, image } = imageIn(t);
  const elsewhere = tempFolder(t);
  const device = loopOver(t, image);
  writeFileSync(join(elsewhere, NAME), '');
  truncateSync(join(elsewhere, NAME), BYTES);
  const moved = tempFolder(t);
  const hide = `${NO_NODES} && mount --bind ${folder} ${moved} && mount --bind ${elsewhere} ${folder}`;
  t.match(await startWithout(t, hide, join(moved, NAME)), `${device} can't be opened here`);
});

t.test('one that is larger or smaller is not over it', { skip: alone() }, async (t) => {
  const { folder, image } = imageIn(t);
  const hide = (bytes: number, ...args: string[]): void => {
    const disk = join(folder, `disk ${bytes}`);
    writeFileSync(disk, '');
    truncateSync(disk, bytes);
    loopOver(t, disk, ...args);
    rmSync(disk);
  };
  hide(BYTES + 4096);
  hide(BYTES - 8192);
  t.equal(await startWithout(t, NO_NODES, image), 'held');
});

t.test('one over a device, by a node of another mount namespace', { skip }, async (t) => {
  const disk = loopOver(t, imageIn(t).image);
  const folder = tempFolder(t);
  const [major, minor] = deviceNumber(statSync(disk).rdev).split(':');
  execFileSync('mknod', [join(folder, 'node'), 'b', major, minor]);
  const twin = loopOver(t, join(folder, 'node'));
  rmSync(join(folder, 'node'));
  const node = `mknod ${disk} b ${major} ${minor}`;
  t.match(await startWithout(t, `${NO_NODES} && ${node}`, disk), `${twin} can't be opened here`);
});

t.test('one over a node, by the number that sysfs has of it', { skip }, async (t) => {
  const disk = loopOver(t, imageIn(t).image);
  const twin = loopOver(t, disk);
  const node = `mknod ${disk} b ${deviceNumber(statSync(disk).rdev).replace(':', ' ')}`;
  t.match(await startWithout(t, `${NO_NODES} && ${node}`, disk), `is in use by the loop device ${twin}`);
});

t.test('without sysfs those that can be opened are asked', { skip }, async (t) => {
  const { image, other } = imageIn(t);
  const device = hiddenLoop(t, image, other);
  t.match(await startWithout(t, NO_SYSFS, image), `is the file behind ${device}`);
});
