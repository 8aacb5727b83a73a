// What a guest with the server inside needs beside its own: a disk with Node and the server's files, and one for the image.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeNodeDisk } from '../memcg/disk.ts';
import { readOnlyDisk, writableDisk } from '../qemu.ts';
import { toolPath } from '../tools.ts';

/** The image of 1 GiB, and what the file system itself takes; sparse. */
const IMAGE_DISK_SIZE = '1200M';

/** The server's, which guests may share: they can't write to it. Returns its path. */
export function makeServerDisk(root: string, folder: string): string {
  const paths = ['package.json', 'config/default.jsonc', 'dist/bin', ...packages(root)];
  return makeNodeDisk(folder, {}, new Map(paths.map((path) => [join('app', path), join(root, path)])));
}

/** QEMU's arguments for both: first the server's, then one for the image, made in `folder`. */
export function insideDisks(serverDisk: string, folder: string): string[] {
  const image = join(folder, 'image.img');
  execFileSync(toolPath('mkfs.ext4'), ['-q', '-O', '^has_journal', image, IMAGE_DISK_SIZE], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return [...readOnlyDisk(serverDisk), ...writableDisk(image)];
}

/** Folders of the packages that a server may load, by what was installed. */
function packages(root: string): string[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; link?: boolean }>;
  };
  return Object.keys(packages).filter(
    (path) => path.startsWith('node_modules/') && !packages[path].dev && !packages[path].link,
  );
}
