// Starts and `image reset` where the image can't be discarded, or not even read: one line that says why, no stack, and the
// marker stays, so that nobody is served what is left.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { lockImage, releaseImage } from '#src/image/lock.js';
import { newMarker, readMarker, writeMarker } from '#src/image/marker.js';
import { markerPlaces } from '#src/image/places.js';
import { loopDevice, mount, mountsMissing } from '../../image/images.ts';
import { fuseImage } from '../../support/fuse_image.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { type Ended, runCommand } from '../../support/run_process.ts';
import { tempFolder } from '../../support/tmp.ts';
import { MAIN, serverArguments } from '../../support/zswapd.ts';
import { isMarked, MIB, markerOf } from './images.ts';

const BYTES = 8 * MIB;

function stale(path: string): void {
  writeMarker(markerOf(path), newMarker({ identity: '1:2', bytes: BYTES }, 'volatile'));
}

/** The arguments under a limit on the size of files, as `ulimit -f` sets it. */
function limited(args: string[]): Promise<Ended> {
  return runCommand('prlimit', [`--fsize=${MIB}`, process.execPath, ...args]);
}

/** The last line, after what was said before the attempt. */
function lastLine(stderr: string): string {
  return stderr.trimEnd().split('\n').at(-1) ?? '';
}

function oneError(t: Test, stderr: string, line: RegExp): void {
  t.match(lastLine(stderr), line);
  t.notMatch(stderr, /\n {4}at |internal fault/, 'no stack');
}

t.test('a file system without holes, and a limit on the size of files', { skip: mountsMissing() }, async (t) => {
  const image = join(mount(t, 'ramfs', 'none', 'mode=700'), 'swap0.img');
  const folder = tempFolder(t);
  const set = ['exports[0].onUnclean=reset'];
  for (const what of ['serve', 'image reset']) {
    writeFileSync(image, Buffer.alloc(BYTES, 1));
    stale(image);
    const args =
      what === 'serve' ? serverArguments(folder, { image, size: '8MiB', set }) : [MAIN, 'image', 'reset', image];
    const { code, stdout, stderr } = await limited(args);
    t.equal(code, what === 'serve' ? 2 : 1);
    t.equal(stdout, '');
    const serves = what === 'serve';
    oneError(t, stderr, serves ? /size: 8MiB is more than a file .*LimitFSIZE/ : /swap0\.img: not reset: EFBIG/);
    t.equal(statSync(image).size, serves ? BYTES : 0, 'an image that can still be reset');
    t.ok(isMarked(image));
    t.same(readdirSync(folder), []);
  }
});

t.test('a reset that was cut short: nothing vouches for what is left of it', { skip: mountsMissing() }, async (t) => {
  const image = join(mount(t, 'ramfs', 'none', 'mode=700'), 'swap0.img');
  writeFileSync(image, Buffer.alloc(BYTES, 1));
  writeMarker(markerOf(image), newMarker({ identity: '1:2', bytes: BYTES }, 'strict'));
  t.match(await limited([MAIN, 'image', 'reset', image]), { code: 1, stderr: /not reset: EFBIG/ });
  t.match(readMarker(markerOf(image)), { durability: 'volatile' });
});

t.test('a block device of which nothing tells how far its export went', { skip: mountsMissing() }, async (t) => {
  const device = loopDevice(t, 2 * BYTES);
  writeFileSync(device, Buffer.alloc(2 * BYTES, 1));
  const image = lockImage(device);
  releaseImage(image);
  const folder = tempFolder(t);
  const { path: marker } = markerPlaces(image, [folder], device);
  writeFileSync(marker, '{');
  const set = ['exports[0].onUnclean=reset'];
  const { code, stderr } = await failedStart(t, { folder, image: device, size: '8MiB', set });
  t.equal(code, 3);
  oneError(t, stderr, /its marker does not tell how much of it was an export; allowed: an export of the whole device/);
  t.ok(readFileSync(device).equals(Buffer.alloc(2 * BYTES, 1)));
  t.equal(readFileSync(marker, 'utf8'), '{');
  const server = await startServer(t, { folder, image: device, size: '16MiB', set });
  t.ok(readFileSync(device).equals(Buffer.alloc(2 * BYTES)));
  t.equal((await server.stop()).code, 0);
});

t.test('an image that nobody may write to', { skip: mountsMissing() }, async (t) => {
  const folder = mount(t, 'tmpfs', 'none', 'size=16m');
  const image = join(folder, 'swap0.img');
  writeFileSync(image, Buffer.alloc(BYTES, 1));
  stale(image);
  execFileSync('mount', ['-o', 'remount,ro', folder]);
  const { code, stderr } = await failedStart(t, { image, size: '8MiB', set: ['exports[0].onUnclean=reset'] });
  t.equal(code, 2);
  oneError(t, stderr, /exports\[0\]\.image: can't use folder .*EROFS/);
  t.ok(readFileSync(image).equals(Buffer.alloc(BYTES, 1)));
});

t.test(
  'a disk that can not be read at start',
  { skip: missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit') },
  async (t) => {
    const disk = await fuseImage(t, { bytes: BYTES });
    disk.fail('pread');
    const { code, stderr } = await failedStart(t, { image: disk.path, size: '8MiB', set: ['image.direct=off'] });
    t.equal(code, 2);
    oneError(t, stderr, /exports\[0\]\.image: .*\/image: can't be read: EIO/);
    t.notOk(isMarked(disk.path), 'nothing was created');
  },
);
