/**
 * Holding an image, so that one process and one export use it at a time. Main thread only.
 *
 * Invariants: a file is held by flock; a block device by O_EXCL too, which the kernel refuses while it is mounted, swapped on or
 * held by someone else, whatever the node is called. Of a loop device the file behind it is held as well, so that neither it nor
 * another loop device over the same bytes is served beside it.
 * `path` has no links in it and the file has no second name, because the marker of an unclean stop is found by name: an
 * image that could be reached without its marker could be served stale.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, realpathSync, type Stats, statSync } from 'node:fs';
import { EAGAIN, errnoName } from '../os/errno.ts';
import { birthTime, lockFile, lockRange, loopFile } from '../os/syscalls.ts';
import { type BlockDevice, describeBlockDevice, loopsOver } from './block_device.ts';
import { ImageError, systemCode } from './error.ts';
import { fileIdentity, sameFile } from './io.ts';

/** A regular file with the bytes of an image, which its marker lies beside. */
interface HeldFile {
  /** Without links. */
  path: string;
  /** Negative for one that is not there. */
  fd: number;
  /** dev:ino. */
  identity: string;
  /** When it was made, where the file system keeps that: inode numbers are used again. */
  born: string | null;
}

/** An image that this process holds. The locks go with `fd` and `behind`, which stay open as long as the image is in use. */
export interface LockedImage {
  /** Without links. */
  path: string;
  fd: number;
  blockDevice: boolean;
  /** dev:ino of a file; of a block device what lasts longest of its names. */
  identity: string;
  /** Size of the file or device. */
  bytes: number;
  /** The image itself, or the file that is all behind a loop device; null where there is none, or none that we can reach. */
  file: HeldFile | null;
  /** The open file behind a loop device, or null. */
  behind: number | null;
}

/** Opens and locks what is there; throws ImageError. `path` may be a link. */
export function lockImage(path: string): LockedImage {
  // Asked before opening, because opening some device nodes has effects.
  const found = stat(path);
  if (!found.isFile() && !found.isBlockDevice()) {
    throw new ImageError('type', `${path}: not an image, allowed: a regular file or a block device`);
  }
  const fd = openImage(path, found.isBlockDevice() ? constants.O_EXCL : 0);
  try {
    const real = realpathSync(path);
    const now = fstatSync(fd);
    if (!sameFile(now, statSync(real))) throw new ImageError('replaced', `${path}: was replaced while it was opened`);
    if (now.isFile()) {
      checkNames(path, real, now);
      checkLoops(path, real, now);
    }
    holds(path, lockFile(fd));
    // A size read before the lock could be another server's, on its way.
    return now.isFile() ? describeFile(real, fd) : heldDevice(path, real, fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Gives it back: from here on others may have it. */
export function releaseImage(image: Pick<LockedImage, 'fd' | 'behind'>): void {
  closeSync(image.fd);
  if (image.behind !== null) closeSync(image.behind);
}

/** A loop device may be mounted or swapped on, which no lock on its file tells. */
function checkLoops(path: string, real: string, found: Stats): void {
  const [loop] = loopsOver(real, found);
  if (loop === undefined) return;
  const allowed = `that device, or the file after \`losetup -d /dev/${loop}\``;
  throw new ImageError('locked', `${path}: is the file behind /dev/${loop}, allowed: ${allowed}`);
}

/** A regular file as a LockedImage; nothing but the descriptor says that it is held. */
export function describeFile(path: string, fd: number): LockedImage {
  const found = fstatSync(fd);
  const identity = fileIdentity(found);
  const file = { path, fd, identity, born: birthTime(fd) };
  return { path, fd, blockDevice: false, identity, bytes: found.size, file, behind: null };
}

function heldDevice(path: string, real: string, fd: number): LockedImage {
  const device = describeBlockDevice(fstatSync(fd).rdev);
  const image = { path: real, fd, blockDevice: true, identity: device.identity, bytes: device.bytes };
  const behind = openBehind(fd, device);
  if (behind === null) return { ...image, file: null, behind: null };
  try {
    const backing = realpathSync(behind.path);
    checkNames(path, backing, fstatSync(behind.fd));
    // Shared among devices over different parts of the file, which the range keeps apart.
    holds(path, lockFile(behind.fd, 'shared'));
    holds(path, lockRange(behind.fd, behind.start, device.bytes));
    const whole = behind.start === 0 && !device.partition;
    return { ...image, file: whole ? describeFile(backing, behind.fd).file : null, behind: behind.fd };
  } catch (error) {
    closeSync(behind.fd);
    throw error;
  }
}

/**
 * Opens the file behind a loop device; null where its path leads nowhere or to something else, as that of a file which was
 * deleted, or of another mount namespace.
 */
function openBehind(device: number, described: BlockDevice): { path: string; fd: number; start: number } | null {
  const loop = loopFile(device);
  const path = described.backingPath;
  if (loop === null || path === null) return null;
  let fd: number;
  try {
    if (!statSync(path).isFile()) return null;
    fd = openSync(path, constants.O_RDWR);
  } catch (error) {
    if (systemCode(error) === '') throw error;
    return null;
  }
  const found = fstatSync(fd);
  if (found.dev === loop.dev && found.ino === loop.ino) return { path, fd, start: loop.offset + described.start };
  closeSync(fd);
  return null;
}

/** A file of several names could be served past its marker. `path` is what the operator wrote, `real` the file without links. */
function checkNames(path: string, real: string, found: Stats): void {
  const why = 'an image with several names could be served past the marker of an unclean stop';
  if (found.nlink > 1) {
    throw new ImageError('type', `${path}: has ${found.nlink} hard links, allowed: one, because ${why}`);
  }
  if (isBindMount(real)) {
    throw new ImageError(
      'type',
      `${path}: is mounted there as a single file, allowed: mount its folder, because ${why}`,
    );
  }
}

/** Whether the path itself is a mount of something that lies deeper in a file system, and so has another name there. */
function isBindMount(real: string): boolean {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return mounts.some((line) => {
    const [, , , root, point] = line.split(' ');
    return root !== '/' && point !== undefined && unescaped(point) === real;
  });
}

/** The kernel writes blanks and backslashes of paths as three octal digits of a byte. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function holds(path: string, locked: number): void {
  if (locked === -EAGAIN) throw inUse(path);
  if (locked < 0)
    throw new ImageError('open', `${path}: can't be locked (${errnoName(locked)}), allowed: flock(2) works`);
}

function stat(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw openError(path, error);
  }
}

function openImage(path: string, flags: number): number {
  try {
    return openSync(path, constants.O_RDWR | flags);
  } catch (error) {
    if (systemCode(error) === 'EBUSY') throw inUse(path);
    throw openError(path, error);
  }
}

function inUse(path: string): ImageError {
  const allowed = 'an image that no server, mount or swapon uses';
  return new ImageError('locked', `${path}: is in use by another process or export, allowed: ${allowed}`);
}

export function openError(path: string, error: unknown): ImageError {
  const text = error instanceof Error ? error.message : String(error);
  return new ImageError('open', `${path}: can't be opened: ${text}, allowed: an image that can be read and written`, {
    cause: error,
  });
}
