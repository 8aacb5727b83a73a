/**
 * The second path of a file on an overlay: what is written to it lies in the upper folder, and the two have locks of their own.
 */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../os/exit_error.ts';
import { type Mount, mountOf, readMounts, unescaped } from '../os/mounts.ts';
import { birthTime } from '../os/syscalls.ts';

interface UpperFile {
  path: string;
  fd: number;
}

/**
 * Opens the file in the upper folder that an open file at `path`, without links, is; null where there is none, or none that can
 * be reached from here, as in a container. To be called once that file is open for writing, which has it copied up.
 */
export function openUpper(path: string, fd: number): UpperFile | null {
  const mount = mountOf(path, readMounts());
  if (mount?.type !== 'overlay') return null;
  const folder = upperFolder(mount);
  if (folder === null) return null;
  const upper = join(folder, mount.root, path.slice(mount.point.length));
  let upperFd: number;
  try {
    upperFd = openSync(upper, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return null;
  }
  // In another mount namespace the folder of this name may be another one.
  if (fstatSync(upperFd).size === fstatSync(fd).size && birthTime(upperFd) === birthTime(fd))
    return { path: upper, fd: upperFd };
  closeSync(upperFd);
  return null;
}

/**
 * Whether what lies at two paths, one of them on an overlay, is one file: an overlay has the size and the time of birth of its
 * upper file, wherever that is. `file`: of the first.
 */
export function isThroughOverlay(path: string, file: BigIntStats, other: string): boolean {
  const mounts = readMounts();
  if (![path, other].some((one) => mountOf(one, mounts)?.type === 'overlay') || file.birthtimeNs === 0n) return false;
  const { size, birthtimeNs } = statSync(other, { bigint: true });
  return size === file.size && birthtimeNs === file.birthtimeNs;
}

/** null for one that is read-only. The overlay has its own way to write a comma, beside the kernel's. */
function upperFolder({ options }: Mount): string | null {
  const option = options.split(',').find((one) => one.startsWith('upperdir='));
  return option === undefined ? null : unescaped(option.slice('upperdir='.length)).replace(/\\(.)/g, '$1');
}
