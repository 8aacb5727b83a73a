// The export as a file (nbdfuse), and a file system on it: made, mounted, filled, checked, and checked again on the image.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { startServer } from '../../support/one_thread.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { fileHash, noise, succeed, tool, writeMixedFile } from './tools.ts';

const skip = missing('nbdfuse', '/dev/fuse', 'root');
const MIB = 1 << 20;

/** Mounts the export as a file and returns its path; `unmount` waits until the last byte went out. */
async function fuseFile(t: Test, uri: string): Promise<{ path: string; unmount(): Promise<void> }> {
  const folder = join(tempFolder(t), 'fuse');
  mkdirSync(folder);
  const path = join(folder, 'disk');
  const child = spawn('nbdfuse', [path, uri], { stdio: 'inherit' });
  const ended = once(child, 'exit');
  let mounted = true;
  const unmount = async (): Promise<void> => {
    if (!mounted) return;
    mounted = false;
    // A file system that nobody answers any more would make the next steps hang for ever.
    const { code } = await tool(t, 'umount', [folder]);
    if (code !== 0) child.kill('SIGKILL');
    await ended;
  };
  t.teardown(unmount);
  // nbdfuse has no way to tell that it is ready; the file is there once it is.
  while (!existsSync(path)) {
    if (child.exitCode !== null) throw new Error(`nbdfuse ended with ${child.exitCode}`);
    await delay(10);
  }
  return { path, unmount };
}

t.test('a file: written, synced and read', { skip }, async (t) => {
  const server = await startServer(t, { set: ['pool.max=2MiB', 'durability=strict'] });
  const disk = await fuseFile(t, server.unixUri);
  t.equal(statSync(disk.path).size, 64 * MIB);
  const data = noise(3, 5 * MIB + 777);
  const fd = openSync(disk.path, 'r+');
  writeSync(fd, data, 0, data.length, 12345);
  fsyncSync(fd);
  closeSync(fd);
  await disk.unmount();
  const again = await fuseFile(t, server.unixUri);
  t.ok(
    readFileSync(again.path)
      .subarray(12345, 12345 + data.length)
      .equals(data),
  );
  await again.unmount();
  t.match(await server.stop(), { code: 0 });
  t.ok(
    readFileSync(server.image)
      .subarray(12345, 12345 + data.length)
      .equals(data),
  );
});

const noFs = skip || missing('mkfs.ext4', 'e2fsck', 'mount', 'umount', 'losetup');

t.test('ext4 on the device stays consistent', { skip: noFs }, async (t) => {
  const server = await startServer(t, { set: ['pool.max=2MiB', 'durability=strict'] });
  const disk = await fuseFile(t, server.unixUri);
  await succeed(t, 'mkfs.ext4', ['-q', '-F', disk.path]);
  const mnt = join(tempFolder(t), 'mnt');
  mkdirSync(mnt);
  await succeed(t, 'mount', ['-o', 'loop', disk.path, mnt]);
  let mounted = true;
  t.teardown(() => (mounted ? tool(t, 'umount', ['-l', mnt]) : undefined));
  writeMixedFile(join(mnt, 'big'), 24 * MIB);
  const hash = fileHash(join(mnt, 'big'));
  for (let n = 0; n < 200; n++) writeFileSync(join(mnt, `small${n}`), `file ${n}\n`.repeat(n));
  await succeed(t, 'sync', ['-f', mnt]);
  await succeed(t, 'umount', [mnt]);
  mounted = false;
  await succeed(t, 'e2fsck', ['-f', '-n', disk.path]);
  await disk.unmount();
  t.match(await server.stop(), { code: 0 });
  // The image is the file system, without the server.
  await succeed(t, 'e2fsck', ['-f', '-n', server.image]);
  await succeed(t, 'mount', ['-o', 'loop,ro', server.image, mnt]);
  mounted = true;
  t.equal(fileHash(join(mnt, 'big')), hash);
  t.equal(readFileSync(join(mnt, 'small7'), 'utf8'), 'file 7\n'.repeat(7));
  await succeed(t, 'umount', [mnt]);
  mounted = false;
});
