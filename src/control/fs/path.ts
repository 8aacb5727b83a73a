/** Paths of the files: normalised, bounded, and never upwards. */
import { FsError } from './errors.ts';
import { unescapeName } from './escapes.ts';

/** PATH_MAX and NAME_MAX of the kernel, in bytes. */
const PATH_BYTES_MAX = 4096;
const NAME_BYTES_MAX = 255;
/** The folder whose folders are exports, and what a byte of their names may become in folderName. */
const EXPORTS = 'block';
const FOLDER_NAME_BYTES = 3;
/** An escaped byte takes four. */
const ESCAPED_BYTES = 4;
/** A page, as for the kernel's own files, in bytes. */
export const VALUE_BYTES_MAX = 4096;

export interface Path {
  readonly names: readonly string[];
  /** It ends in a slash, so it must be a folder. */
  readonly folder: boolean;
}

/** Names are as they are called, and not as they are written (escapes.ts). */
export function parsePath(path: string): Path {
  const tooLong = (): FsError => new FsError('ENAMETOOLONG', `the path has more than ${PATH_BYTES_MAX} bytes`);
  if (Buffer.byteLength(path) > PATH_BYTES_MAX * ESCAPED_BYTES) throw tooLong();
  if (!path.startsWith('/')) throw new FsError('EINVAL', 'the path does not begin with /');
  if (/\p{Cc}/u.test(path)) {
    throw new FsError('EINVAL', 'the path has a control character, allowed: \\ooo, as ls shows it');
  }
  const names = path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .map(unescapeName);
  let bytes = 0;
  for (const [depth, name] of names.entries()) {
    if (name === '..') throw new FsError('EINVAL', 'the path has a part "..", allowed: paths from / downwards');
    if (/[/\0]/.test(name)) throw new FsError('EINVAL', 'a name in the path has a slash or a zero');
    const length = Buffer.byteLength(name);
    const most = depth === 1 && names[0] === EXPORTS ? NAME_BYTES_MAX * FOLDER_NAME_BYTES : NAME_BYTES_MAX;
    if (length > most) throw new FsError('ENAMETOOLONG', `a name in the path has more than ${most} bytes`);
    bytes += length + 1;
  }
  if (bytes > PATH_BYTES_MAX) throw tooLong();
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
