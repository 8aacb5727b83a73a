/** Error numbers of the system, as Node has them of it. Results of our own calls carry them negated, as in the kernel. */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

export const { EACCES, EAGAIN, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL, EIO } = constants.errno;
export const { ENODATA, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPERM, ERANGE } = constants.errno;

const UNKNOWN = /^Unknown system error /;
/** As Node begins the text of an error that libuv has no name for: twice where it has no words for it either. */
const UNKNOWN_NUMBERS = /Unknown system error -(\d+)(?:: Unknown system error -\1)?/g;

/** "ENOSPC" for 28, or for -28. libuv does not know all that a file system may answer, as ESTALE of NFS. */
export function errnoName(errno: number): string {
  if (errno === 0) return 'no error';
  const number = Math.abs(errno);
  const name = getSystemErrorName(-number);
  if (!UNKNOWN.test(name)) return name;
  return Object.entries(constants.errno).find(([, one]) => one === number)?.[0] ?? `errno ${number}`;
}

/** A text or code of a system error with the names that Node has not. */
export function withErrnoNames(text: string): string {
  return text.replace(UNKNOWN_NUMBERS, (_, number: string) => errnoName(Number(number)));
}
