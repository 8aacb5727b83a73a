// What a guest needs for the agent: this machine's Node with its libraries, the agent as one file, and the token, on a disk of
// their own, because Node is larger than all else that the guest has in memory.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { bundleAgent } from '#src/agent/bundle.js';
import { librariesOf, toolPath } from '../tools.ts';

/** Node of any version of today has room, and the file is sparse. */
const DISK_SIZE = '320M';

/** Returns the disk's path. */
export function makeNodeDisk(folder: string, token: string): string {
  const tree = join(folder, 'node');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  mkdirSync(join(tree, 'lib'));
  copyFileSync(process.execPath, join(tree, 'bin/node'));
  for (const library of librariesOf(process.execPath)) {
    const name = basename(library);
    copyFileSync(realpathSync(library), join(tree, 'lib', name.startsWith('ld-linux') ? 'ld.so' : name));
  }
  writeFileSync(join(tree, 'agent.mjs'), bundleAgent());
  writeFileSync(join(tree, 'token'), token);
  const disk = join(folder, 'node.img');
  // Nobody writes to it, so it needs no journal.
  execFileSync(toolPath('mkfs.ext4'), ['-q', '-O', '^has_journal', '-d', tree, disk, DISK_SIZE], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  rmSync(tree, { recursive: true });
  return disk;
}
