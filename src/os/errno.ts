/** Error numbers of the system, as Node has them of it. Results of our own calls carry them negated, as in the kernel. */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

export const { EACCES, EAGAIN, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL, EIO } = constants.errno;
export const { ENODATA, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPERM } = constants.errno;

/** "ENOSPC" for 28, or for -28. */
export function errnoName(errno: number): string {
  return errno === 0 ? 'no error' : getSystemErrorName(-Math.abs(errno));
}
