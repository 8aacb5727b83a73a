// What a config needs of the machine: folders, images of the right size, something to listen on.
// Invariant: looks only, creates nothing; `zswapd config check` and `zswapd serve` ask the same questions.
import { accessSync, constants, mkdirSync, readFileSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { groupNumber } from '../../os/groups.ts';
import { errorCode, errorText } from '../exit_error.ts';
import { REPOSITORY } from './fields.ts';
import type { Config } from './schema.ts';
import { formatSize } from './units.ts';

/** The folder of default sockets and images, and the only one that is ever created. */
export const STATE_FOLDER = resolve(REPOSITORY, 'var');

const SECTOR = 512;
/** Search permission for the group, or somebody named in an access list, or all. */
const OTHERS_ENTER = 0o011;

/** Creates the repository's var/. Called by serve after everything was checked. */
export function makeStateFolder(): void {
  mkdirSync(STATE_FOLDER, { recursive: true, mode: 0o700 });
}

/** What stands in the way of serving this config, each as `option: what is wrong, what is allowed`; empty if nothing does. */
export function checkEnvironment(config: Config, environment: NodeJS.ProcessEnv = process.env): string[] {
  const problems: string[] = [];
  const inherited = environment.LISTEN_FDS !== undefined;
  if (config.listen.unix === null && config.listen.tcp === null && !inherited) {
    problems.push('listen: unix and tcp are both null, allowed: one of them, or sockets inherited by LISTEN_FDS');
  }
  if (config.listen.unix !== null && !inherited) {
    const found = checkFolder('listen.unix', config.listen.unix);
    problems.push(...found, ...(found.length > 0 ? [] : checkSocketUsers(config.listen, config.listen.unix)));
  }
  if (config.control.listen !== null) problems.push(...checkFolder('control.listen', config.control.listen));

  const images = new Map<string, number>();
  for (const [index, { image, size }] of config.exports.entries()) {
    const option = `exports[${index}].image`;
    const found = checkFolder(option, image);
    if (found.length === 0) found.push(...checkImage(option, `exports[${index}].size`, image, size));
    problems.push(...found);
    if (found.length > 0) continue;
    // Links can give one file two names; its identity can't lie.
    const identity = imageIdentity(image);
    const other = images.get(identity);
    if (other !== undefined) {
      problems.push(`${option}: ${image} is the same file as exports[${other}].image, allowed: one export per image`);
    }
    images.set(identity, index);
  }
  return problems;
}

function stat(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** The folder of a file has to exist, except var/, which serve creates. */
function checkFolder(option: string, path: string): string[] {
  const folder = dirname(path);
  try {
    const found = stat(folder);
    if (found === undefined) {
      return folder === STATE_FOLDER ? [] : [`${option}: folder ${folder} does not exist, allowed: an existing folder`];
    }
    if (!found.isDirectory()) return [`${option}: ${folder} is not a folder, allowed: an existing folder`];
    accessSync(folder, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    return [`${option}: can't use folder ${folder}: ${errorText(error)}, allowed: a folder that can be written`];
  }
}

/** Who shall connect to the unix socket has to exist, and to be able to get there. */
function checkSocketUsers({ unixMode, unixGroup }: Config['listen'], path: string): string[] {
  if (unixMode === '0600') return [];
  if (unixGroup !== null && groupNumber(unixGroup) === null) {
    return [`listen.unixGroup: there is no group ${unixGroup}, allowed: the name or number of a group of this machine`];
  }
  const folder = dirname(path);
  const found = stat(folder);
  // Before its first use, var/ is what makeStateFolder will make of it. A folder of another user's is his to enter.
  const ownerOnly = found === undefined || (found.uid === process.geteuid!() && (found.mode & OTHERS_ENTER) === 0);
  return ownerOnly
    ? [`listen.unix: only its owner can enter ${folder}, allowed: with unixMode ${unixMode}, a folder that others can`]
    : [];
}

function checkImage(option: string, sizeOption: string, path: string, size: number): string[] {
  try {
    const found = stat(path);
    if (found === undefined) return [];
    accessSync(path, constants.R_OK | constants.W_OK);
    if (found.isFile()) {
      if (found.size === size) return [];
      return [
        `${sizeOption}: ${formatSize(size)} is not the size of ${path}, allowed: ${formatSize(found.size)}, as the file is`,
      ];
    }
    if (!found.isBlockDevice())
      return [`${option}: ${path} is not an image, allowed: a regular file or a block device`];
    const bytes = blockDeviceSize(found.rdev);
    if (bytes >= size) return [];
    return [`${sizeOption}: ${formatSize(size)} is more than ${path} has, allowed: at most ${formatSize(bytes)}`];
  } catch (error) {
    return [`${option}: can't use ${path}: ${errorText(error)}, allowed: an image that can be read and written`];
  }
}

/** Bytes of a block device; stat says 0, so the kernel's own count of sectors is asked. */
function blockDeviceSize(rdev: number): number {
  // glibc's major() and minor(), for numbers below 2^32, which all of Linux's are.
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SECTOR;
}

function imageIdentity(path: string): string {
  const found = stat(path);
  if (found?.isBlockDevice()) return `device ${found.rdev}`;
  if (found !== undefined) return `file ${found.dev}:${found.ino}`;
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch (error) {
    // var/ before its first use: no link can lead to a folder that is not there.
    if (errorCode(error) === 'ENOENT') return path;
    throw error;
  }
}
