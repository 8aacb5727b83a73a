// `onUnclean: reset` of an image that takes its time: the start says how far it is, and a signal ends it.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newMarker, writeMarker } from '#src/image/marker.js';
import { fuseImage } from '../../support/fuse_image.ts';
import { notifications } from '../../support/notifications.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { spawnServer } from '../../support/zswapd.ts';
import { isMarked, MIB, markerOf } from './images.ts';

const skip = missing('root', '/dev/fuse', 'nbdfuse', 'nbdkit', 'python3');
/** Three calls to discard it. */
const BYTES = 768 * MIB;
const LAST = BYTES - 4096;

function stale(path: string): void {
  const fd = openSync(path, 'r+');
  for (const at of [0, LAST]) writeSync(fd, Buffer.alloc(4096, 7), 0, 4096, at);
  closeSync(fd);
  writeMarker(markerOf(path), newMarker({ identity: '1:2', bytes: BYTES }, 'volatile'));
}

function byteAt(path: string, at: number): number {
  const fd = openSync(path, 'r');
  const found = Buffer.alloc(1);
  readSync(fd, found, 0, 1, at);
  closeSync(fd);
  return found[0];
}

const set = ['image.direct=off', 'exports[0].onUnclean=reset'];

t.test('a signal ends a reset at once, and the image is as stale as it was', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: BYTES });
  stale(disk.path);
  await disk.pause();
  const server = spawnServer(t, { image: disk.path, size: '768MiB', set });
  await server.until(() => /its content is discarded/.test(server.stderr()) || undefined);
  server.child.kill('SIGTERM');
  await server.until(
    () => /image: is not reset, SIGTERM came first: it is as stale as it was/.test(server.stderr()) || undefined,
  );
  // The kernel keeps a process until the one request that the disk has taken is answered.
  await disk.resume();
  t.match(await server.ended, { code: 3, stdout: '' });
  t.ok(isMarked(disk.path));
  t.equal(byteAt(disk.path, LAST), 7, 'no further call was made');
});

t.test('a service manager is asked for time while a reset moves', { skip }, async (t) => {
  const disk = await fuseImage(t, { bytes: BYTES, punchDelay: '700ms' });
  stale(disk.path);
  const address = join(tempFolder(t), 'notify');
  const manager = await notifications(t, address);
  manager.read();
  const server = spawnServer(t, { image: disk.path, size: '768MiB', set, env: { NOTIFY_SOCKET: address } });
  await manager.hears('EXTEND_TIMEOUT_USEC=60000000');
  t.notOk(manager.heard.includes('READY=1'));
  t.match(manager.heard.join(' '), /STATUS=resetting .*image: (256|512)MiB of 768MiB/);
  await manager.hears('READY=1');
  t.same(
    [0, LAST].map((at) => byteAt(disk.path, at)),
    [0, 0],
  );
  server.child.kill('SIGTERM');
  t.equal((await server.ended).code, 0);
  t.notOk(isMarked(disk.path));
});
