/** What goes wrong with a file, under the name that the kernel has for it, and the status that HTTP has for it. */

const ERRORS = {
  ENOENT: [404, 'no such file or folder'],
  EINVAL: [400, 'invalid argument'],
  ERANGE: [400, 'out of range'],
  EISDIR: [400, 'is a folder, allowed: ls'],
  ENOTDIR: [400, 'a part of the path is a file, not a folder'],
  ENAMETOOLONG: [400, 'the path or a name in it is too long'],
  E2BIG: [400, 'the value is too long'],
  EACCES: [403, 'permission denied'],
  EPERM: [403, 'operation not permitted'],
  EBUSY: [409, 'in use'],
  EEXIST: [409, 'exists already'],
  ENOSPC: [409, 'no room is left for another one'],
  EAGAIN: [409, 'it could not be done now'],
  EIO: [500, 'input/output error'],
} as const;

type FsErrorCode = keyof typeof ERRORS;

export class FsError extends Error {
  override readonly name = 'FsError';
  readonly status: number;

  /** `text`: what is wrong here, and what would be allowed; the usual words for `code` unless given. */
  constructor(code: FsErrorCode, text: string = ERRORS[code][1]) {
    super(`${code}: ${text}`);
    [this.status] = ERRORS[code];
  }
}
