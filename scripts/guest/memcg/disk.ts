// This machine's Node with its libraries, and files beside it (of the agent, or what a guest works on), on a disk of their own,
// because Node is larger than all else that the guest has in memory.
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { librariesOf, toolPath } from '../tools.ts';

/** Node of any version of today has room, and the file is sparse. */
const DISK_SIZE = '320M';

/** `files`: contents by name; `copies`: files and folders of this machine by their path on the disk. Returns the disk's path. */
export function makeNodeDisk(
  folder: string,
  files: Readonly<Record<string, string | Buffer>>,
  copies: ReadonlyMap<string, string> = new Map(),
): string {
  const tree = join(folder, 'node');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  mkdirSync(join(tree, 'lib'));
  copyFileSync(process.execPath, join(tree, 'bin/node'));
  for (const library of librariesOf(process.execPath)) {
    const name = basename(library);
    copyFileSync(realpathSync(library), join(tree, 'lib', name.startsWith('ld-linux') ? 'ld.so' : name));
  }
  for (const [name, content] of Object.entries(files)) writeFileSync(join(tree, name), content);
  for (const [to, from] of copies) cpSync(from, join(tree, to), { recursive: true, dereference: true });
  const disk = join(folder, 'node.img');
  // Nobody writes to it, so it needs no journal.
  execFileSync(toolPath('mkfs.ext4'), ['-q', '-O', '^has_journal', '-d', tree, disk, DISK_SIZE], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  rmSync(tree, { recursive: true });
  return disk;
}
