// What a config needs of the machine: folders, images of the right size, something to listen on.
// Invariant: looks only, creates nothing; `zswapd config check` and `zswapd serve` ask the same questions. What only a try
// tells is in rehearsal.ts for the one, and found by trying it by the other.
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { deviceNumber } from '../os/device_number.ts';
import { EXIT, ExitError, errorCode, errorText } from '../os/exit_error.ts';
import { groupNumber } from '../os/groups.ts';
import { foreignSockets, inheritedSockets } from '../os/inherited_sockets.ts';
import { descriptorsNeeded } from './descriptors.ts';
import { loadPlan } from './fault_plan.ts';
import { HOME } from './fields.ts';
import { ConfigError } from './load.ts';
import { descriptorLimit, fileSizeLimit } from './requirements.ts';
import type { Config } from './schema.ts';
import { deviceMarkerFolders, STATE_FOLDER } from './state_folder.ts';
import { tokenProblems } from './token.ts';
import { formatSize } from './units.ts';

const SECTOR = 512;
/** Of linux/magic.h: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs. */
const KERNEL_FILE_SYSTEMS = new Set([0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x73636673]);
/** Search permission for the group, or somebody named in an access list, or all. */
const OTHERS_ENTER = 0o011;

/**
 * Makes var/ where something of this config lies in it: a socket, an image, the marker of a block device, the note of an image.
 * To be called after everything was checked. Answers true if it was not there before.
 */
export function makeStateFolder(config: Config): boolean {
  const needed = usesStateFolder(config);
  if (!needed && deviceMarkerFolders()[0] !== STATE_FOLDER) return false;
  try {
    return mkdirSync(STATE_FOLDER, { recursive: true, mode: 0o700 }) !== undefined;
  } catch (error) {
    // For notes alone it may be missing: the log says so when they are written.
    if (!needed) return false;
    throw new ExitError(EXIT.usage, `${STATE_FOLDER}: can't make this folder: ${errorText(error)}`, { cause: error });
  }
}

/** Takes var/ away again after a start that failed and had made it. What somebody else has put there by now stays. */
export function removeStateFolder(): void {
  try {
    rmdirSync(STATE_FOLDER);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errorCode(error))) throw error;
  }
}

function usesStateFolder({ listen, control, agents, exports }: Config): boolean {
  const inherited = inheritedSockets(process.env) > 0;
  const own = exports.flatMap(({ image, agentToken }) => [image, agentToken]);
  const files = [inherited ? null : listen.unix, control.listen, agents.unix, ...own];
  if (files.some((path) => path !== null && dirname(path) === STATE_FOLDER)) return true;
  return deviceMarkerFolders()[0] === STATE_FOLDER && exports.some(({ image }) => isBlockDevice(image));
}

/** What can be seen to stand in the way of serving this config, each as `option: what is wrong, what is allowed`; empty if nothing does. */
export function checkEnvironment(config: Config, environment: NodeJS.ProcessEnv = process.env): string[] {
  const problems: string[] = [];
  const inherited = inheritedSockets(environment);
  const { unix, tcp } = config.listen;
  if (unix === null && tcp === null && inherited === 0) {
    const foreign = foreignSockets(environment);
    const why = foreign === null ? '' : ` and ${foreign}`;
    problems.push(`listen: unix and tcp are both null${why}, allowed: one of them, or sockets inherited by LISTEN_FDS`);
  }
  if (unix !== null && inherited === 0) {
    const found = checkFolder('listen.unix', unix);
    problems.push(...found, ...(found.length > 0 ? [] : checkSocketUsers(config.listen, unix)));
  }
  if (config.control.listen !== null) problems.push(...checkFolder('control.listen', config.control.listen));
  problems.push(...checkAgentFiles(config));
  problems.push(...planProblems(config));
  const device = config.exports.findIndex(({ image }) => isBlockDevice(image));
  if (device >= 0)
    problems.push(...checkFolder(`exports[${device}].image`, join(deviceMarkerFolders(environment)[0], 'marker')));
  const listeners = inherited > 0 ? inherited : Number(unix !== null) + Number(tcp !== null);
  problems.push(...checkDescriptors(config, listeners));

  const images = new Map<string, number>();
  for (const [index, { image, size }] of config.exports.entries()) {
    const option = `exports[${index}].image`;
    // In the folder of a device's node nothing is made.
    const found = isBlockDevice(image) ? [] : checkFolder(option, image);
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

function planProblems(config: Config): readonly string[] {
  if (config.faults === null) return [];
  try {
    loadPlan(config.faults, config);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    if (error instanceof ExitError) return [`faults: ${error.message}`];
    throw error;
  }
}

function checkDescriptors(config: Config, listeners: number): string[] {
  const limit = descriptorLimit(readFileSync('/proc/self/limits', 'utf8'));
  const needed = descriptorsNeeded(config, listeners);
  if (needed <= limit) return [];
  const { maxConnections } = config.listen;
  return [
    `listen.maxConnections: with ${maxConnections} of them ${needed} files may be open, and this process may open ${limit}, allowed: fewer, or a higher limit (ulimit -n, LimitNOFILE)`,
  ];
}

function stat(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** False for a path that leads nowhere or can't be looked at too: checkFolder and checkImage say so. */
function isBlockDevice(path: string): boolean {
  try {
    return stat(path)?.isBlockDevice() === true;
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return false;
  }
}

/** The folder of a file has to exist, except var/, which serve creates where it can. */
function checkFolder(option: string, path: string): string[] {
  const folder = dirname(path);
  try {
    const found = stat(folder);
    if (found === undefined) {
      if (folder !== STATE_FOLDER) return [`${option}: folder ${folder} does not exist, allowed: an existing folder`];
      accessSync(HOME, constants.W_OK | constants.X_OK);
      return [];
    }
    if (!found.isDirectory()) return [`${option}: ${folder} is not a folder, allowed: an existing folder`];
    accessSync(folder, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    return [`${option}: can't use folder ${folder}: ${errorText(error)}, allowed: a folder that can be written`];
  }
}

function checkAgentFiles({ agents, exports }: Config): string[] {
  const problems = agents.unix === null ? [] : checkFolder('agents.unix', agents.unix);
  for (const [index, { agentToken }] of exports.entries()) {
    if (agentToken === null) continue;
    const option = `exports[${index}].agentToken`;
    const found = checkFolder(option, agentToken);
    if (found.length === 0 && existsSync(agentToken))
      found.push(...tokenProblems(agentToken).map((why) => `${option}: ${why}`));
    problems.push(...found);
  }
  return problems;
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
    if (isKernelFile(found === undefined ? dirname(path) : path)) {
      return [`${option}: ${path} is a file of the kernel's own, allowed: a regular file or a block device`];
    }
    if (found === undefined || found.isFile()) {
      const limit = fileSizeLimit(readFileSync('/proc/self/limits', 'utf8'));
      if (size > limit) return [tooLong(sizeOption, size, limit)];
    }
    if (found === undefined) return [];
    accessSync(path, constants.R_OK | constants.W_OK);
    if (found.isFile()) {
      // Empty: a start that was cut short, or somebody who made it for us. It gets its size.
      if (found.size === size || found.size === 0) return [];
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

/** What lies beyond would be refused (EFBIG) when the pool writes it, and be lost at the stop. */
function tooLong(option: string, size: number, limit: number): string {
  const allowed = `at most ${formatSize(limit)}, or a higher limit (ulimit -f, LimitFSIZE)`;
  return `${option}: ${formatSize(size)} is more than a file of this process may have, allowed: ${allowed}`;
}

/** Whether it lies in proc or its like, whose files say that they are regular and empty. */
function isKernelFile(path: string): boolean {
  return existsSync(path) && KERNEL_FILE_SYSTEMS.has(statfsSync(path).type);
}

/** Bytes of a block device; stat says 0, so the kernel's own count of sectors is asked. */
function blockDeviceSize(rdev: number): number {
  return Number(readFileSync(`/sys/dev/block/${deviceNumber(rdev)}/size`, 'utf8')) * SECTOR;
}

function imageIdentity(path: string): string {
  // Inode numbers may be above 2^53.
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
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
