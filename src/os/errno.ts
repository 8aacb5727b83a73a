/** Error numbers of the system, as Node has them of it. Results of our own calls carry them negated, as in the kernel. */
import { constants } from 'node:os';

export const { EACCES, EAGAIN, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL, EIO } = constants.errno;
export const { ENODATA, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPERM } = constants.errno;
