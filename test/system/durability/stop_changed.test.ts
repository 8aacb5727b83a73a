// Stops whose image others have changed: the line says what else is gone than the pages that could not be written.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loopOver, mountsMissing } from '../../image/images.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { MIB, markerOf, writeSlots } from './images.ts';

t.setTimeout(120_000);

t.test('an image that was cut: pages that were only there are gone as well', async (t) => {
  const server = await startServer(t, { size: '16MiB' });
  const client = await server.connect();
  await writeSlots(client, 0, 64);
  await writeSlots(client, 100, 120, { texture: 'noise' });
  await client.disconnect();
  truncateSync(server.image, 0);
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /its marker stays, 64 pages are lost; what the image had is not to be relied on: .* size changed/);
});

t.test('an image and a marker that were deleted: nobody is told that a marker stays', async (t) => {
  const server = await startServer(t, { size: '16MiB' });
  rmSync(server.image);
  rmSync(markerOf(server.image));
  const { code, stderr } = await server.stop();
  t.equal(code, 4);
  t.match(stderr, /drain of swap0 failed: its marker is gone too: .*was moved, deleted or replaced/);
});

t.test(
  'an image whose mark can not be taken away: its marker stays too',
  { skip: missing('root', 'chattr') },
  async (t) => {
    const server = await startServer(t, { size: '16MiB' });
    const { folder, image } = server;
    try {
      execFileSync('chattr', ['+a', image], { stdio: 'ignore' });
    } catch {
      t.pass('this file system has no such flag');
      return;
    }
    t.teardown(() => execFileSync('chattr', ['-a', image]));
    const { code, stderr } = await server.stop();
    t.equal(code, 4);
    t.match(
      stderr,
      /holds everything, but the marker could not be removed: the attribute user\.zswapd of the file can't be/,
    );
    t.match(stderr, /allowed: take away the attribute, and then remove .*swap0\.img\.zswapd, by hand/);
    t.ok(existsSync(markerOf(image)));
    execFileSync('chattr', ['-a', image]);
    t.match(await failedStart(t, { folder, size: '16MiB' }), { code: 3, stderr: /stale, because/ });
  },
);

for (const [what, args] of [
  ['a file', []],
  ['a part of a file', ['-o', String(MIB)]],
] as const) {
  t.test(
    `a loop device over ${what} whose folder was moved: that is no clean stop`,
    { skip: mountsMissing() },
    async (t) => {
      const folder = join(tempFolder(t), 'disks');
      mkdirSync(folder);
      const disk = join(folder, 'disk');
      writeFileSync(disk, '');
      truncateSync(disk, 16 * MIB);
      const image = loopOver(t, disk, ...args);
      const server = await startServer(t, { size: '8MiB', image });
      const moved = `${folder}.moved`;
      renameSync(folder, moved);
      const { code, stderr } = await server.stop();
      t.equal(code, 4);
      t.match(stderr, /its marker is gone too: .*disk behind \/dev\/loop\d+: was moved, deleted or replaced/);
      t.equal(
        readdirSync(moved).filter((name) => name.endsWith('.zswapd')).length,
        1,
        'the marker went with the folder',
      );
    },
  );
}
