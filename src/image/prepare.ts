/**
 * The image at start: made if it is missing, checked, locked, and asked whether O_DIRECT works. Main thread only.
 *
 * Invariants: an image is used by one process and one export at a time. A file is held by flock; a block device also by
 * O_EXCL, which the kernel refuses while it is mounted, swapped on or held by someone else, whatever the node is called.
 * `path` has no links in it and the file has no second name, because the marker of an unclean stop is found by name: an
 * image that could be reached without its marker could be served stale.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { EAGAIN } from '../os/errno.ts';
import { directAlignment, lockFile, nextData } from '../os/syscalls.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { type BlockDevice, describeBlockDevice } from './block_device.ts';
import { ImageError, systemCode } from './error.ts';
import type { OpenableImage } from './image.ts';
import { alignedBytes, fileIdentity, sameFile, syncFolder } from './io.ts';

export { ImageError, type ImageErrorKind } from './error.ts';

export interface ImageSpec {
  path: string;
  bytes: number;
  direct: 'auto' | 'on' | 'off';
}

/** An image that this process holds. The lock goes with `fd`, which stays open as long as the image is in use. */
export interface LockedImage {
  /** Without links. */
  path: string;
  fd: number;
  blockDevice: boolean;
  /** dev:ino of a file; of a block device what lasts longest of its names. */
  identity: string;
  /** Size of the file or device. */
  bytes: number;
}

/** `bytes` is here the size of the export: a block device may be larger. */
export interface PreparedImage extends LockedImage, OpenableImage {
  /** The file was not there before; one that was there and empty is not meant. */
  created: boolean;
}

/** Gets an image ready to be served; throws ImageError with one line. */
export function prepareImage(spec: ImageSpec): PreparedImage {
  const created = createIfMissing(spec);
  const image = lockPrepared(spec.path, created);
  try {
    // Two servers may race to create a file, and a crash may come between creation and size: empty means new.
    const isNew = !image.blockDevice && image.bytes === 0;
    if (isNew) growNew(image, spec);
    else checkSize(image, spec);
    const direct = chooseDirect(image, spec);
    return { ...image, bytes: spec.bytes, direct, created };
  } catch (error) {
    if (created) unlinkSync(image.path);
    closeSync(image.fd);
    throw error;
  }
}

function lockPrepared(path: string, created: boolean): LockedImage {
  try {
    return lockImage(path);
  } catch (error) {
    // One that somebody else has locked since is his by now.
    if (created && !(error instanceof ImageError && error.kind === 'locked')) unlinkSync(path);
    throw error;
  }
}

/**
 * What prepareImage would refuse, or null, with the image as it is there now; changes nothing. One that is not there yet
 * is tried as a file without a name in its folder, where the file system has such.
 */
export function rehearseImage(
  spec: ImageSpec,
  folder: string,
): { image: LockedImage | null; problem: ImageError | null } {
  let image: LockedImage | null = null;
  try {
    const found = statSync(spec.path, { throwIfNoEntry: false });
    const isNew = found === undefined || (found.isFile() && found.size === 0);
    image = isNew ? unnamedImage(folder) : lockImage(spec.path);
    if (image === null) return { image, problem: null };
    if (isNew) setSize(image.fd, spec);
    else checkSize(image, spec);
    chooseDirect(image, spec);
    return { image: isNew ? null : image, problem: null };
  } catch (error) {
    return { image: null, problem: error instanceof ImageError ? error : openError(spec.path, error) };
  } finally {
    if (image !== null) closeSync(image.fd);
  }
}

/** __O_TMPFILE of Linux, which Node has no name for. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** null where the file system has no files without a name. */
function unnamedImage(folder: string): LockedImage | null {
  try {
    const fd = openSync(folder, O_TMPFILE | constants.O_RDWR, 0o600);
    return { path: `/proc/self/fd/${fd}`, fd, ...describe(fstatSync(fd)) };
  } catch (error) {
    if (['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL'].includes(systemCode(error))) return null;
    throw error;
  }
}

function checkSize(image: LockedImage, { path, bytes }: ImageSpec): void {
  if (image.blockDevice ? image.bytes >= bytes : image.bytes === bytes) return;
  const allowed = `${image.blockDevice ? 'at most ' : ''}${image.bytes}`;
  throw new ImageError('size', `${path}: an export of ${bytes} bytes doesn't fit, allowed: ${allowed}`);
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
    if (now.isFile() && now.nlink > 1) {
      const why = 'an image with several names could be served past the marker of an unclean stop';
      throw new ImageError('type', `${path}: has ${now.nlink} hard links, allowed: one, because ${why}`);
    }
    const locked = lockFile(fd);
    if (locked === -EAGAIN) throw inUse(path);
    if (locked < 0)
      throw new ImageError('open', `${path}: can't be locked (errno ${-locked}), allowed: flock(2) works`);
    // A size read before the lock could be another server's, on its way.
    return { path: real, fd, ...describe(fstatSync(fd)) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function describe(found: Stats): { blockDevice: boolean; identity: string; bytes: number } {
  if (!found.isBlockDevice()) return { blockDevice: false, identity: fileIdentity(found), bytes: found.size };
  const { bytes, identity } = describeBlockDevice(found.rdev);
  return { blockDevice: true, identity, bytes };
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

function openError(path: string, error: unknown): ImageError {
  const text = error instanceof Error ? error.message : String(error);
  return new ImageError('open', `${path}: can't be opened: ${text}, allowed: an image that can be read and written`, {
    cause: error,
  });
}

function createIfMissing({ path }: ImageSpec): boolean {
  if (existsSync(path)) return false;
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600));
    return true;
  } catch (error) {
    // Another server was faster; the lock decides who goes on.
    if (systemCode(error) === 'EEXIST') return false;
    throw openError(path, error);
  }
}

function growNew(image: LockedImage, spec: ImageSpec): void {
  setSize(image.fd, spec);
  try {
    fsyncSync(image.fd);
    syncFolder(dirname(image.path));
  } catch (error) {
    throw sizeError(spec, error);
  }
}

function setSize(fd: number, spec: ImageSpec): void {
  try {
    ftruncateSync(fd, spec.bytes);
  } catch (error) {
    throw sizeError(spec, error);
  }
}

function sizeError({ path, bytes }: ImageSpec, error: unknown): ImageError {
  const text = error instanceof Error ? error.message : String(error);
  return new ImageError('open', `${path}: can't be made ${bytes} bytes long: ${text}`, { cause: error });
}

function chooseDirect(image: LockedImage, spec: ImageSpec): boolean {
  if (spec.direct === 'off') return false;
  const problem = directProblem(image);
  if (problem !== null && spec.direct === 'on') {
    throw new ImageError(
      'direct',
      `${spec.path}: O_DIRECT can't be used (${problem}), allowed: image.direct auto or off`,
    );
  }
  return problem === null;
}

/** Why pages can't be read and written past the page cache; null if they can. Writes nothing. */
function directProblem(image: LockedImage): string | null {
  let fd: number;
  try {
    fd = openSync(image.path, constants.O_RDWR | constants.O_DIRECT);
  } catch (error) {
    return systemCode(error) || String(error);
  }
  try {
    const needs = directAlignment(fd);
    if (needs?.offset === 0) return 'the file system has none';
    if (needs !== null && Math.max(needs.memory, needs.offset) > PAGE_SIZE) return `blocks of ${needs.offset} bytes`;
    const device: BlockDevice | null = image.blockDevice ? describeBlockDevice(fstatSync(fd).rdev) : null;
    if (device !== null && device.logicalBlock > PAGE_SIZE) return `blocks of ${device.logicalBlock} bytes`;
    readSync(fd, alignedBytes(PAGE_SIZE), 0, PAGE_SIZE, 0);
    return null;
  } catch (error) {
    return systemCode(error) || String(error);
  } finally {
    closeSync(fd);
  }
}

/**
 * Extents that may hold data, rounded outward to pages, in order and apart. Where there is no SEEK_DATA (block devices,
 * some file systems): one extent over the rest.
 */
export function* dataExtents(image: Pick<PreparedImage, 'fd' | 'bytes'>): Iterable<{ start: number; end: number }> {
  let from = 0;
  while (from < image.bytes) {
    const found = nextData(image.fd, from);
    if (found === null) return;
    if (found === 'unsupported') {
      yield { start: from, end: image.bytes };
      return;
    }
    // Blocks may be smaller than pages; a page that was already given is not given again.
    const start = Math.max(from, found.start - (found.start % PAGE_SIZE));
    const end = Math.min(image.bytes, Math.ceil(found.end / PAGE_SIZE) * PAGE_SIZE);
    if (start < end) yield { start, end };
    from = end;
  }
}
