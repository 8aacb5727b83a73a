/** Paths of the files: normalised, bounded, and never upwards. */
import { FsError } from './errors.ts';

/** PATH_MAX and NAME_MAX of the kernel, in bytes. */
const PATH_BYTES_MAX = 4096;
const NAME_BYTES_MAX = 255;
/** A page, as for the kernel's own files, in bytes. */
export const VALUE_BYTES_MAX = 4096;

export interface Path {
  readonly names: readonly string[];
  /** It ends in a slash, so it must be a folder. */
  readonly folder: boolean;
}

export function parsePath(path: string): Path {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new FsError('ENAMETOOLONG', `the path has more than ${PATH_BYTES_MAX} bytes`);
  }
  if (!path.startsWith('/')) throw new FsError('EINVAL', 'the path does not begin with /');
  if (/\p{Cc}/u.test(path)) throw new FsError('EINVAL', 'the path has a control character');
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  for (const name of names) {
    if (name === '..') throw new FsError('EINVAL', 'the path has a part "..", allowed: paths from / downwards');
    if (Buffer.byteLength(name) > NAME_BYTES_MAX) {
      throw new FsError('ENAMETOOLONG', `a name in the path has more than ${NAME_BYTES_MAX} bytes`);
    }
  }
  return { names, folder: /\/\.?$/.test(path) };
}

export function checkValue(text: string): void {
  if (Buffer.byteLength(text) > VALUE_BYTES_MAX) {
    throw new FsError('E2BIG', `the value has more than ${VALUE_BYTES_MAX} bytes`);
  }
}

/** The name of an export as that of a folder: any is allowed in a config, and some are no names of files. No two get the same. */
export function folderName(name: string): string {
  const escaped = name.replace(/[%/]/g, encodeURIComponent);
  return /^\.{1,2}$/.test(escaped) ? escaped.replaceAll('.', '%2E') : escaped;
}
