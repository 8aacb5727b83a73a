/**
 * How a marker gets to the disk: written as a file of its own and renamed, so that it is never half written; on a full disk in the
 * place of the one before. The file and its folder are synced.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, lstat, open, rename, rm, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../os/exit_error.ts';
import { syncFolder, syncFolderLater } from './io.ts';

/** Bytes of a marker, by far. What is longer is none, and is neither read nor replaced. */
export const MARKER_MAX = 65_536;

/** Of a disk, or of a user's share of it. */
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

/** A file that was not there, so that what others may have put there (a link, a FIFO) is not written to and not waited for. */
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

function openTemporary(path: string): number {
  try {
    checkTemporary(lstatSync(path, { throwIfNoEntry: false }), path);
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw inTheWay(path, error);
  }
  return openSync(path, NEW_FILE, 0o600);
}

/** What a start that was killed has left is no longer than a marker; anything else is somebody's. */
function checkTemporary(found: Stats | undefined, path: string): void {
  if (found?.isFile() !== true || found.size <= MARKER_MAX) return;
  const text = `${path}: ${found.size} bytes, which no marker of ours has, allowed: nothing of that name`;
  throw Object.assign(new Error(text), { code: 'EEXIST' });
}

/** The code stays: a note that can't be written is no reason to refuse a start. */
function inTheWay(path: string, error: unknown): unknown {
  const code = errorCode(error);
  if (!(error instanceof Error) || !['EISDIR', 'EPERM', 'EACCES'].includes(code)) return error;
  const isFolder = lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const what = isFolder ? 'is a folder' : `can't be removed (${code})`;
  error.message = `${path}: ${what}, allowed: nothing of that name`;
  return error;
}

/** Only whoever holds the image may write its marker, so one name for the temporary file is enough. */
export function replaceFile(path: string, bytes: Buffer): void {
  const temporary = `${path}.tmp`;
  try {
    const fd = openTemporary(temporary);
    try {
      writeSynced(fd, bytes);
      renameSync(temporary, path);
    } catch (error) {
      throw withoutTemporary(temporary, error);
    }
  } catch (error) {
    if (!FULL.includes(errorCode(error)) || !overwrite(path, bytes)) throw error;
  }
  syncFolder(dirname(path));
}

/** What can't be removed is not what is wrong: the first error says that. */
function withoutTemporary(path: string, error: unknown): unknown {
  try {
    rmSync(path, { force: true });
  } catch (second) {
    if (error instanceof Error) error.message += ` (and ${path} is left: ${errorCode(second)})`;
  }
  return error;
}

/**
 * On a disk without a free block the marker of an unclean stop is written again where it is, or no start could go on from
 * there. Torn by a crash it can't be understood, and says too much. Answers whether there was one.
 */
function overwrite(path: string, bytes: Buffer): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found?.isFile() !== true) return false;
  const fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  writeSynced(fd, bytes);
  return true;
}

/** All of the file, and closed, also where that fails. */
function writeSynced(fd: number, bytes: Buffer): void {
  try {
    let at = 0;
    while (at < bytes.length) at += writeSync(fd, bytes, at);
    ftruncateSync(fd, bytes.length);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** As replaceFile, without holding the thread while the file system works. */
export async function replaceFileLater(path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    await writeNewLater(temporary, bytes);
    await rename(temporary, path);
  } catch (error) {
    if (!FULL.includes(errorCode(error))) throw error;
    await rm(temporary, { force: true });
    await writeSyncedLater(await open(path, constants.O_WRONLY | constants.O_NOFOLLOW), bytes);
  }
  await syncFolderLater(dirname(path));
}

async function writeNewLater(path: string, bytes: Buffer): Promise<void> {
  try {
    checkTemporary(await lstat(path), path);
    await unlink(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw inTheWay(path, error);
  }
  await writeSyncedLater(await open(path, NEW_FILE, 0o600), bytes);
}

async function writeSyncedLater(file: FileHandle, bytes: Buffer): Promise<void> {
  try {
    await file.writeFile(bytes);
    await file.truncate(bytes.length);
    await file.sync();
  } finally {
    await file.close();
  }
}
