/**
 * The image at start: made if it is missing, locked (lock.ts), checked, and asked whether O_DIRECT works. Main thread only.
 * Invariant: a start that is refused leaves an image as it found it, missing or empty ones too.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isDeviceFolder } from '../os/device_folder.ts';
import { errorCode } from '../os/exit_error.ts';
import { directAlignment, nextData } from '../os/syscalls.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { type BlockDevice, describeBlockDevice } from './block_device.ts';
import { ImageError } from './error.ts';
import type { OpenableImage } from './image.ts';
import { alignedBytes, syncFolder } from './io.ts';
import { describeFile, type LockedImage, lockImage, openError, releaseImage } from './lock.ts';
import { refuseNameOfMarker } from './parts.ts';

export { ImageError, type ImageErrorKind } from './error.ts';

export interface ImageSpec {
  path: string;
  bytes: number;
  direct: 'auto' | 'on' | 'off';
  /**
   * Asked once the image is held, and refuses it by throwing: a file that has to be empty for a marker to be understood must
   * not have got its size by then, or the next start would take it for the image.
   */
  admit?: (found: FoundImage) => void;
}

/** What there is of an image, before anything of it changes. */
export interface FoundImage {
  /** Held; one that is missing has a path, and a descriptor only where it was just made. */
  image: LockedImage;
  there: 'missing' | 'empty' | 'bytes';
}

/** `bytes` is here the size of the export: a block device may be larger. */
export interface PreparedImage extends LockedImage, OpenableImage {
  /** The file was not there before; one that was there and empty is not meant. */
  created: boolean;
  /** It was there, and empty: this start gave it its size. */
  grown: boolean;
}

/** Gets an image ready to be served; throws ImageError with one line. */
export function prepareImage(spec: ImageSpec): PreparedImage {
  const created = createIfMissing(spec);
  const image = lockPrepared(spec.path, created);
  try {
    // Two servers may race to create a file, and a crash may come between creation and size: empty means new.
    const isNew = !image.blockDevice && image.bytes === 0;
    spec.admit?.({ image, there: created ? 'missing' : isNew ? 'empty' : 'bytes' });
    if (isNew) growNew(image, spec);
    else checkSize(image, spec);
    const direct = chooseDirect(image, spec);
    return { ...image, bytes: spec.bytes, direct, created, grown: isNew && !created };
  } catch (error) {
    if (created) unlinkSync(image.path);
    else if (!image.blockDevice && image.bytes === 0) ftruncateSync(image.fd, 0);
    releaseImage(image);
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
 * What prepareImage would refuse, or null; changes nothing. One that is not there yet is tried as a file without a name in
 * its folder, where the file system has such.
 */
export function rehearseImage(spec: ImageSpec, folder: string): ImageError | null {
  try {
    const found = statSync(spec.path, { throwIfNoEntry: false });
    if (found === undefined) {
      refuseMissing(spec.path);
      const path = existsSync(folder) ? join(realpathSync(folder), basename(spec.path)) : spec.path;
      spec.admit?.({ image: missingImage(path), there: 'missing' });
      rehearseNew(spec, folder);
      return null;
    }
    const image = lockImage(spec.path);
    try {
      const empty = !image.blockDevice && image.bytes === 0;
      spec.admit?.({ image, there: empty ? 'empty' : 'bytes' });
      if (!empty) checkSize(image, spec);
      chooseDirect(image, spec);
      if (empty) rehearseNew(spec, folder);
    } finally {
      releaseImage(image);
    }
    return null;
  } catch (error) {
    return error instanceof ImageError ? error : openError(spec.path, error);
  }
}

function missingImage(path: string): LockedImage {
  const file = { path, fd: -1, identity: '', born: null };
  return {
    path,
    fd: -1,
    blockDevice: false,
    identity: '',
    names: [],
    sequence: null,
    bytes: 0,
    file,
    part: null,
    behind: [],
  };
}

function rehearseNew(spec: ImageSpec, folder: string): void {
  const image = unnamedImage(folder);
  if (image === null) return;
  try {
    setSize(image.fd, spec);
    chooseDirect(image, spec);
  } finally {
    releaseImage(image);
  }
}

/** __O_TMPFILE of Linux, which Node has no name for. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** null where the file system has no files without a name. */
function unnamedImage(folder: string): LockedImage | null {
  try {
    const fd = openSync(folder, O_TMPFILE | constants.O_RDWR, 0o600);
    return describeFile(`/proc/self/fd/${fd}`, fd);
  } catch (error) {
    if (['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL'].includes(errorCode(error))) return null;
    throw error;
  }
}

function checkSize(image: LockedImage, { path, bytes }: ImageSpec): void {
  if (image.blockDevice ? image.bytes >= bytes : image.bytes === bytes) return;
  const allowed = `${image.blockDevice ? 'at most ' : ''}${image.bytes}`;
  throw new ImageError('size', `${path}: an export of ${bytes} bytes doesn't fit, allowed: ${allowed}`);
}

function createIfMissing({ path }: ImageSpec): boolean {
  if (existsSync(path)) return false;
  refuseMissing(path);
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600));
    return true;
  } catch (error) {
    // Another server was faster; the lock decides who goes on.
    if (errorCode(error) === 'EEXIST') return false;
    throw openError(path, error);
  }
}

/** Where nothing is, and a file is not made. */
function refuseMissing(path: string): void {
  refuseNameOfMarker(path);
  // A file in the place of a device would take its pages until the next boot, and hide it.
  if (isDeviceFolder(dirname(path)))
    throw new ImageError('open', `${path}: does not exist, allowed: a device that is there`);
  // What it should lead to may be an image on a disk that is not mounted.
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() && !existsSync(path)) {
    throw new ImageError('open', `${path}: is a link that leads nowhere, allowed: a path without, or what it leads to`);
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
    return errorCode(error) || String(error);
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
    return errorCode(error) || String(error);
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
