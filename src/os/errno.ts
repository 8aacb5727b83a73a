/** Error numbers of the system, as Node has them of it. Results of our own calls carry them negated, as in the kernel. */
import { constants } from 'node:os';

export const { EAGAIN, EBUSY, EEXIST, EINTR, EINVAL, EIO, ENOENT, ENOMEM, ENOSPC, ENXIO, EPERM } = constants.errno;
