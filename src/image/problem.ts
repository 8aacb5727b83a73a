/** The image at the end: whether its path still leads to what was written. */
import { fstat } from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { systemCode } from './error.ts';
import { sameFile } from './io.ts';
import type { PreparedImage } from './prepare.ts';

/**
 * What became of the image while it was served, or null: before the marker of a clean stop is removed, the path has to
 * lead to the file that was written, at its size. Otherwise the drain went to a file that nobody will find.
 */
export async function imageProblem(image: PreparedImage): Promise<string | null> {
  const held = await promisify(fstat)(image.fd);
  const named = await stat(image.path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return null;
    throw error;
  });
  if (named === null || !sameFile(held, named)) return `${image.path}: was moved, deleted or replaced`;
  if (!image.blockDevice && held.size !== image.bytes) return `${image.path}: its size changed to ${held.size} bytes`;
  return null;
}
