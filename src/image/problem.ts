/** The image at the end: whether its path still leads to what was written. */
import { type BigIntStats, fstat } from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { errorCode } from '../os/exit_error.ts';
import { sameFile } from './io.ts';
import type { PreparedImage } from './prepare.ts';

/**
 * What became of the image while it was served, or null: before the marker of a clean stop is removed, the path has to
 * lead to the file that was written, at its size. Otherwise the drain went to a file that nobody will find.
 */
export async function imageProblem(image: PreparedImage): Promise<string | null> {
  const { path, bytes, blockDevice } = image;
  const held = await heldAt(path, image.fd);
  if (held === null) return moved(path);
  if (blockDevice) return behindProblem(image);
  return held.size === BigInt(bytes) ? null : cut(path, held);
}

/**
 * The same of the file behind a loop device, which keeps it whatever becomes of its name, and reads zeros where it was cut. It may be
 * larger than the image.
 */
async function behindProblem({ path, bytes, file, part }: PreparedImage): Promise<string | null> {
  const behind = part ?? file;
  if (behind === null) return null;
  const name = `${behind.path} behind ${path}`;
  const held = await heldAt(behind.path, behind.fd);
  if (held === null) return moved(name);
  return held.size >= BigInt((part?.start ?? 0) + bytes) ? null : cut(name, held);
}

/** What is open as `fd`; null where the path does not lead to it any more. */
async function heldAt(path: string, fd: number): Promise<BigIntStats | null> {
  const held = await promisify(fstat)(fd, { bigint: true });
  const named = await stat(path, { bigint: true }).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return null;
    throw error;
  });
  return named !== null && sameFile(held, named) ? held : null;
}

const moved = (name: string): string => `${name}: was moved, deleted or replaced`;

const cut = (name: string, { size }: BigIntStats): string => `${name}: its size changed to ${size} bytes`;
