/**
 * The file calls under an image, on libuv's pool: no thread of ours waits for an image, because each of them serves other
 * images too.
 * Invariant: `done` gets a positive errno or 0, and, but for sizeNow, is called after the call has returned.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fdatasync,
  fstat,
  fstatSync,
  fsyncSync,
  openSync,
  read,
  statfsSync,
  writev,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { EINVAL, ENODEV, ENOSYS, EOPNOTSUPP, EPERM } from '../os/errno.ts';
import { dropCache, punchHole } from '../os/syscalls.ts';
import { systemErrno } from './error.ts';

/** `value`: bytes moved, or the size of the file; 0 with an error. */
type IoDone = (errno: number, value: number) => void;

/** EOPNOTSUPP, ENOSYS, ENODEV; EINVAL where a device's blocks are larger than pages; EPERM where holes are forbidden. */
const NO_PUNCH: ReadonlySet<number> = new Set([EOPNOTSUPP, ENOSYS, ENODEV, EINVAL, EPERM]);

/** Whether a failed punch means that there are no holes to be had here, so that zeros have to be written. */
export function punchUnsupported(errno: number): boolean {
  return NO_PUNCH.has(errno);
}

export const POOL_IO = {
  read(fd: number, into: Uint8Array, position: number, done: IoDone): void {
    read(fd, into, 0, into.length, position, (error, bytes) => finish(error, bytes, done));
  },
  write(fd: number, views: readonly Uint8Array[], position: number, done: IoDone): void {
    writev(fd, views, position, (error, bytes) => finish(error, bytes, done));
  },
  size(fd: number, done: IoDone): void {
    fstat(fd, (error, found) => finish(error, found?.size, done));
  },
  punch(fd: number, offset: number, bytes: number, done: IoDone): void {
    punchHole(fd, offset, bytes, (code) => done(-code, 0));
  },
  sync(fd: number, done: IoDone): void {
    fdatasync(fd, (error) => finish(error, 0, done));
  },
  dropCache(fd: number, done: IoDone): void {
    dropCache(fd, (code) => done(-code, 0));
  },
};

/**
 * File systems of this machine's own disks and memory (statfs(2)): fstat looks at memory there and waits for nobody, so it
 * need not go to a thread of the pool. On any other (FUSE, network) it may wait for as long as an answer takes.
 */
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0xf2f52010, // f2fs
  0x2fc12fc1, // zfs
  0x01021994, // tmpfs
]);

export function answersSizeAtOnce(path: string): boolean {
  return LOCAL.has(statfsSync(path).type);
}

/** The size of an open file, asked on this thread. */
export function sizeNow(fd: number, done: IoDone): void {
  try {
    done(0, fstatSync(fd).size);
  } catch (error) {
    done(systemErrno(error), 0);
  }
}

function finish(error: Error | null, value: number, done: IoDone): void {
  if (error === null) done(0, value);
  else done(systemErrno(error), 0);
}

/** Zeros that start on a page: growable shared memory is mapped for itself, a plain buffer may lie anywhere. */
export function alignedBytes(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes, { maxByteLength: bytes }));
}

/** Inode numbers have 64 bits, of which a double keeps 53: so this takes no other stat than one of bigints, which are signed. */
export function fileIdentity(found: Pick<BigIntStats, 'dev' | 'ino'>): string {
  return `${found.dev}:${BigInt.asUintN(64, found.ino)}`;
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

/** As syncFolder, without holding the thread while the file system works. */
export async function syncFolderLater(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Whether two looks have met the same file or block device. */
export function sameFile(a: BigIntStats, b: BigIntStats): boolean {
  return a.isBlockDevice() ? b.isBlockDevice() && a.rdev === b.rdev : fileIdentity(a) === fileIdentity(b);
}
