// A loop device is known by the bytes behind it, not by the path that the kernel has for them, which may change, be shared, or
// lead to another file by now.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loopOver } from '../../image/images.ts';
import { failedStart, startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import type { ServerOptions } from '../../support/zswapd.ts';
import { MIB, writeSlots, wrongSlots } from './images.ts';

const SIZE = '8MiB';
const PART = ['-o', String(8 * MIB)];
const skip = missing('root', '/dev/loop-control');

t.setTimeout(180_000);

function disk(path: string): string {
  writeFileSync(path, '');
  truncateSync(path, 16 * MIB);
  return path;
}

/** Serves the second half of a disk, kills the server with 64 slots written, and puts the loop device back. */
async function killedOnPart(t: Test, path: string, durability: string): Promise<Partial<ServerOptions>> {
  const o = { size: SIZE, set: [`durability=${durability}`], env: { STATE_DIRECTORY: tempFolder(t) } };
  const device = execFileSync('losetup', ['-f', '--show', ...PART, path], { encoding: 'utf8' }).trim();
  try {
    const server = await startServer(t, { ...o, image: device });
    const client = await server.connect();
    await writeSlots(client, 0, 64);
    if (durability === 'strict') await client.flush();
    await server.kill9();
  } finally {
    execFileSync('losetup', ['-d', device]);
  }
  return o;
}

t.test('a part of a disk is stale wherever the disk was moved, and as any loop device', { skip }, async (t) => {
  const path = disk(join(tempFolder(t), 'disk'));
  const o = await killedOnPart(t, path, 'volatile');
  const moved = join(tempFolder(t), 'moved');
  renameSync(path, moved);
  loopOver(t, disk(path));
  const image = loopOver(t, moved, ...PART);
  t.match(await failedStart(t, { ...o, image }), { code: 3, stderr: /stale, because its last server/ });
});

t.test('strict: a part of a disk is served for what was flushed, and that of a backup is not', { skip }, async (t) => {
  const folder = tempFolder(t);
  const path = disk(join(folder, 'disk'));
  copyFileSync(path, join(folder, 'backup'));
  const o = await killedOnPart(t, path, 'strict');
  renameSync(path, join(folder, 'away'));
  renameSync(join(folder, 'backup'), path);
  const backup = execFileSync('losetup', ['-f', '--show', ...PART, path], { encoding: 'utf8' }).trim();
  try {
    const { code, stderr } = await failedStart(t, { ...o, image: backup });
    t.equal(code, 3);
    t.match(stderr, 'is not the image that its last server');
  } finally {
    execFileSync('losetup', ['-d', backup]);
  }
  const again = await startServer(t, { ...o, image: loopOver(t, join(folder, 'away'), ...PART) });
  t.not((await again.logged('what was flushed is there')).length, 0);
  const client = await again.connect();
  t.same(await wrongSlots(client, 0, 64), []);
  await client.disconnect();
  t.equal((await again.stop()).code, 0);
});

t.test('a loop device over a file that can not be held is no image', { skip }, async (t) => {
  const folder = tempFolder(t);
  const path = disk(join(folder, 'disk'));
  const devices = [loopOver(t, path), loopOver(t, path, ...PART)];
  const before = readdirSync(folder);
  const refused = async (why: string): Promise<void> => {
    for (const image of devices) {
      const o = { size: SIZE, image, env: { STATE_DIRECTORY: tempFolder(t) } };
      const stderr = `${image}: is a loop device over a file that this process can't hold (${why}), and may share bytes`;
      t.match(await failedStart(t, o), { code: 2, stderr });
      t.same(readdirSync(o.env.STATE_DIRECTORY), []);
    }
  };
  execFileSync('mount', ['-t', 'tmpfs', 'none', folder]);
  try {
    await refused(`${path}: ENOENT`);
  } finally {
    execFileSync('umount', [folder]);
  }
  t.same(readdirSync(folder), before);
  rmSync(path);
  await refused(`${path} (deleted): ENOENT`);
  disk(path);
  await refused(`${path} (deleted): ENOENT`);
});

t.test('parts of a disk and of its clone are two images, whatever they have in common', { skip }, async (t) => {
  const folder = tempFolder(t);
  const fs = join(folder, 'fs');
  execFileSync('sh', ['-c', `truncate -s 32M ${fs} && mkfs.ext4 -q ${fs}`]);
  const mounted = (from: string): string => {
    const point = join(folder, `${from}.mnt`);
    mkdirSync(point);
    execFileSync('mount', ['-o', 'loop', join(folder, from), point]);
    t.teardown(() => execFileSync('umount', [point]));
    return join(point, 'disk');
  };
  const first = mounted('fs');
  disk(first);
  execFileSync('sync', ['-f', first]);
  copyFileSync(fs, join(folder, 'clone'));
  const exports = [first, mounted('clone')].map((path, x) => {
    return { name: `swap${x}`, size: SIZE, image: loopOver(t, path, ...PART) };
  });
  const o = { folder: tempFolder(t), env: { STATE_DIRECTORY: tempFolder(t) } };
  const server = await startServer(t, { ...o, exports });
  await server.kill9();
  for (const one of exports) {
    t.match(await failedStart(t, { ...o, exports: [one] }), { code: 3, stderr: /stale, because/ });
  }
});
