/**
 * The file calls under an image, in two forms with one shape: on libuv's pool, for threads that must not wait, and on the
 * calling thread, for one that may, so that a stalled image takes no pool thread from the lanes.
 * Invariant: `done` gets a positive errno or 0; the blocking form calls it before it returns, the pool form after.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstat,
  fstatSync,
  fsyncSync,
  openSync,
  read,
  readSync,
  type Stats,
  writev,
  writevSync,
} from 'node:fs';
import { dropCache, dropCacheNow, punchHole, punchHoleNow } from '../os/syscalls.ts';
import { systemErrno } from './image_error.ts';

/** `value`: bytes moved, or the size of the file; 0 with an error. */
export type IoDone = (errno: number, value: number) => void;

export interface ImageIo {
  read(fd: number, into: Uint8Array, position: number, done: IoDone): void;
  write(fd: number, views: readonly Uint8Array[], position: number, done: IoDone): void;
  size(fd: number, done: IoDone): void;
  punch(fd: number, offset: number, bytes: number, done: IoDone): void;
  sync(fd: number, done: IoDone): void;
  dropCache(fd: number, done: IoDone): void;
}

/** EOPNOTSUPP, ENOSYS, ENODEV; EINVAL where a device's blocks are larger than pages; EPERM where holes are forbidden. */
const NO_PUNCH: ReadonlySet<number> = new Set([95, 38, 19, 22, 1]);

/** Whether a failed punch means that there are no holes to be had here, so that zeros have to be written. */
export function punchUnsupported(errno: number): boolean {
  return NO_PUNCH.has(errno);
}

export const POOL_IO: ImageIo = {
  read(fd, into, position, done) {
    read(fd, into, 0, into.length, position, (error, bytes) => finish(error, bytes, done));
  },
  write(fd, views, position, done) {
    writev(fd, views, position, (error, bytes) => finish(error, bytes, done));
  },
  size(fd, done) {
    fstat(fd, (error, found) => finish(error, found?.size, done));
  },
  punch(fd, offset, bytes, done) {
    punchHole(fd, offset, bytes, (code) => done(-code, 0));
  },
  sync(fd, done) {
    fdatasync(fd, (error) => finish(error, 0, done));
  },
  dropCache(fd, done) {
    dropCache(fd, (code) => done(-code, 0));
  },
};

export const BLOCKING_IO: ImageIo = {
  read(fd, into, position, done) {
    attempt(() => readSync(fd, into, 0, into.length, position), done);
  },
  write(fd, views, position, done) {
    attempt(() => writevSync(fd, views, position), done);
  },
  size(fd, done) {
    attempt(() => fstatSync(fd).size, done);
  },
  punch(fd, offset, bytes, done) {
    done(-punchHoleNow(fd, offset, bytes), 0);
  },
  sync(fd, done) {
    attempt(() => {
      fdatasyncSync(fd);
      return 0;
    }, done);
  },
  dropCache(fd, done) {
    done(-dropCacheNow(fd), 0);
  },
};

function finish(error: Error | null, value: number, done: IoDone): void {
  if (error === null) done(0, value);
  else done(systemErrno(error), 0);
}

/** `done` is called outside of the try, so that what it throws is not taken for an error of the call. */
function attempt(call: () => number, done: IoDone): void {
  let errno = 0;
  let value = 0;
  try {
    value = call();
  } catch (error) {
    errno = systemErrno(error);
  }
  done(errno, value);
}

/** Zeros that start on a page: growable shared memory is mapped for itself, a plain buffer may lie anywhere. */
export function alignedBytes(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes, { maxByteLength: bytes }));
}

export function fileIdentity(found: Pick<Stats, 'dev' | 'ino'>): string {
  return `${found.dev}:${found.ino}`;
}

/** Makes what was created, renamed or removed in a folder last. */
export function syncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
