/**
 * Holding an image, so that one process and one export use it at a time. Main thread only.
 *
 * Invariants: a file is held by flock, and by a lock on all of its bytes; a block device by O_EXCL too, which the kernel refuses
 * while it is mounted, swapped on or held by someone else, whatever the node is called. Of a loop device the file behind it is held as well, so that neither it nor
 * another loop device over the same bytes is served beside it. Between a block device and a loop device over it there is no lock
 * to be had: such a loop device is no image, and the device below is one only while there is none over it.
 * A file of an overlay is held in the upper folder too.
 * `path` has no links in it and the file has no second name, because the marker of an unclean stop is found by name: an
 * image that could be reached without its marker could be served stale.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  openSync,
  realpathSync,
  statSync,
  writeSync,
} from 'node:fs';
import { SECTOR } from '../os/device_number.ts';
import { EAGAIN, errnoName } from '../os/errno.ts';
import { errorCode } from '../os/exit_error.ts';
import { lockFile, lockRange } from '../os/file_locks.ts';
import { readMounts } from '../os/mounts.ts';
import { shellWord } from '../os/shell.ts';
import { birthTime, type LoopFile, loopFile } from '../os/syscalls.ts';
import { type BlockDevice, describeBlockDevice } from './block_device.ts';
import { ImageError } from './error.ts';
import { fileIdentity, sameFile } from './io.ts';
import { loopNames } from './loop_names.ts';
import { loopOverDevice, loopOverFile } from './loops.ts';
import { openUpper } from './overlay.ts';
import { type FilePart, refuseNameOfMarker } from './parts.ts';
import { lockPart } from './qemu_lock.ts';

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
  /** dev:ino of a file; of a block device what sysfs calls it. Says as long as it is held that another look is at the same. */
  identity: string;
  /** What it is known by after this process: of a loop device what is behind it, the name that lasts longest first. */
  names: readonly string[];
  /** Of a block device that is no loop device: what tells it from another of its name, within a boot; null where nothing does. */
  sequence: string | null;
  /** Size of the file or device. */
  bytes: number;
  /** The image itself, or the file that is all behind a loop device; null where there is none. */
  file: HeldFile | null;
  /** Of which file it is no more than a part; or null. */
  part: FilePart | null;
  /** What is held besides: the file behind a loop device, and the upper one of a file of an overlay. */
  behind: readonly number[];
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
    const now = fstatSync(fd, { bigint: true });
    checkPlace(path, real, now);
    if (now.isFile()) {
      checkNames(path, real, now);
      refuseNameOfMarker(real);
    }
    checkLoops(path, real, now);
    checkWritable(path, fd);
    if (now.isFile()) holdWhole(path, fd);
    else holds(path, lockFile(fd));
    // A start that made it and failed may have taken it back by now, and nobody would find what is written to it.
    checkPlace(path, real, now);
    // A size read before the lock could be another server's, on its way.
    return now.isFile() ? heldFile(path, real, fd) : heldDevice(path, real, fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Gives it back: from here on others may have it. */
export function releaseImage(image: Pick<LockedImage, 'fd' | 'behind'>): void {
  closeSync(image.fd);
  for (const fd of image.behind) closeSync(fd);
}

function checkPlace(path: string, real: string, found: BigIntStats): void {
  const named = statSync(real, { bigint: true, throwIfNoEntry: false });
  if (named === undefined || !sameFile(found, named))
    throw new ImageError('replaced', `${path}: was replaced while it was opened`);
}

/** A loop device may be mounted or swapped on, which no lock on what is behind it tells. */
function checkLoops(path: string, real: string, found: BigIntStats): void {
  const loop = found.isFile() ? loopOverFile(real, found) : loopOverDevice(Number(found.rdev));
  if (loop === null) return;
  if (!found.isFile()) throw usedByLoop(path, loop);
  const allowed = `that device, or the file after \`losetup -d ${loop}\``;
  throw new ImageError('locked', `${path}: is the file behind ${loop}, allowed: ${allowed}`);
}

function usedByLoop(path: string, loop: string): ImageError {
  const allowed = `this device after \`losetup -d ${loop}\``;
  return new ImageError('locked', `${path}: is in use by the loop device ${loop}, allowed: ${allowed}`);
}

/**
 * An active swap file and a read-only device can be opened for writing all the same, and a server would lose everything at its
 * stop. A write of no bytes changes nothing, and the kernel refuses it as it would any other.
 */
function checkWritable(path: string, fd: number): void {
  try {
    writeSync(fd, new Uint8Array(0), 0, 0, 0);
  } catch (error) {
    const code = errorCode(error);
    if (code === '') throw error;
    if (code === 'ETXTBSY') {
      const allowed = `the file after \`swapoff ${shellWord(path)}\``;
      throw new ImageError('locked', `${path}: is an active swap file of this machine, allowed: ${allowed}`);
    }
    const text = `${path}: can't be written (${code}), allowed: an image that can be read and written`;
    throw new ImageError('open', text, { cause: error });
  }
}

/** A regular file as a LockedImage; nothing but the descriptor says that it is held. */
export function describeFile(path: string, fd: number): LockedImage {
  const found = fstatSync(fd, { bigint: true });
  const identity = fileIdentity(found);
  const file = { path, fd, identity, born: birthTime(fd) };
  return {
    path,
    fd,
    blockDevice: false,
    identity,
    names: [identity],
    sequence: null,
    bytes: Number(found.size),
    file,
    part: null,
    behind: [],
  };
}

function heldFile(path: string, real: string, fd: number): LockedImage {
  const upper = openUpper(real, fd);
  if (upper === null) return describeFile(real, fd);
  try {
    checkLoops(path, upper.path, fstatSync(upper.fd, { bigint: true }));
    holdWhole(path, upper.fd);
    return { ...describeFile(real, fd), behind: [upper.fd] };
  } catch (error) {
    closeSync(upper.fd);
    throw error;
  }
}

function heldDevice(path: string, real: string, fd: number): LockedImage {
  const device = describeBlockDevice(fstatSync(fd).rdev);
  const loop = loopFile(fd);
  if (loop !== null && loop.rdev !== null) {
    throw new ImageError('type', `${path}: is a loop device over ${device.backingPath}, allowed: that device`);
  }
  const image = { path: real, fd, blockDevice: true, identity: device.identity, sequence: null, bytes: device.bytes };
  const named = { names: [device.identity], sequence: device.sequence };
  if (loop === null) return { ...image, ...named, file: null, part: null, behind: [] };
  const behind = openBehind(path, loop, device);
  const held = [behind.fd];
  try {
    const names = loopNames(loop, behind.start, birthTime(behind.fd));
    const backing = realpathSync(behind.path);
    const found = fstatSync(behind.fd, { bigint: true });
    checkNames(path, backing, found);
    const end = behind.start + device.bytes;
    const upper = openUpper(backing, behind.fd);
    if (upper !== null) held.push(upper.fd);
    for (const one of held) {
      // Shared among devices over different parts of the file, which the range keeps apart.
      holds(path, lockFile(one, 'shared'));
      holds(path, lockPart(one, behind.start, end));
    }
    const other = loopOverFile(backing, found, { disk: device.disk, start: behind.start, end });
    if (other !== null) throw usedByLoop(path, other);
    // A loop device has no piece of a sector at the end of its file.
    if (behind.start === 0 && found.size - BigInt(end) < BigInt(SECTOR))
      return { ...image, names, file: describeFile(backing, behind.fd).file, part: null, behind: held };
    const part = { path: backing, fd: behind.fd, start: behind.start, end };
    return { ...image, names, file: null, part, behind: held };
  } catch (error) {
    for (const one of held) closeSync(one);
    throw error;
  }
}

/** Opens the file behind a loop device, which all that tells one such device from another goes by: its locks and its markers. */
function openBehind(path: string, loop: LoopFile, described: BlockDevice): { path: string; fd: number; start: number } {
  const at = described.backingPath;
  let why = 'its path is not known';
  if (at !== null) {
    try {
      why = `another file is at ${at}`;
      // Asked before opening, because opening some nodes has effects.
      const isIt = (found: BigIntStats): boolean => found.isFile() && fileIdentity(found) === fileIdentity(loop);
      if (isIt(statSync(at, { bigint: true }))) {
        const fd = openSync(at, constants.O_RDWR);
        if (isIt(fstatSync(fd, { bigint: true }))) return { path: at, fd, start: loop.offset + described.start };
        closeSync(fd);
      }
    } catch (error) {
      const code = errorCode(error);
      if (code === '') throw error;
      why = `${at}: ${code}`;
    }
  }
  throw new ImageError(
    'open',
    `${path}: is a loop device over a file that this process can't hold (${why}), and may share bytes with other images, allowed: a loop device over a file that can be opened by its path, or that file`,
  );
}

/** A file of several names could be served past its marker. `path` is what the operator wrote, `real` the file without links. */
function checkNames(path: string, real: string, found: BigIntStats): void {
  const why = 'an image with several names could be served past the marker of an unclean stop';
  if (found.nlink > 1n) {
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
  return readMounts().some(({ root, point }) => root !== '/' && point === real);
}

/** Once against other servers, and once, byte by byte, against QEMU, which locks some bytes of what it has open. */
function holdWhole(path: string, fd: number): void {
  holds(path, lockFile(fd));
  holds(path, lockRange(fd, 0, 0));
}

function holds(path: string, locked: number): void {
  if (locked === -EAGAIN) throw inUse(path);
  if (locked < 0)
    throw new ImageError('open', `${path}: can't be locked (${errnoName(locked)}), allowed: flock(2) works`);
}

function stat(path: string): BigIntStats {
  try {
    return statSync(path, { bigint: true });
  } catch (error) {
    throw openError(path, error);
  }
}

function openImage(path: string, flags: number): number {
  try {
    return openSync(path, constants.O_RDWR | flags);
  } catch (error) {
    if (errorCode(error) === 'EBUSY') throw inUse(path);
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
