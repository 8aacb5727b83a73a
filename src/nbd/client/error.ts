/**
 * The one error class of the client. `errno` is the number from the wire for an error that the server replied, and the
 * Linux number of a like meaning for an error that the client found itself.
 */
import * as wire from '../wire.ts';

/** The connection is gone. */
const ENOTCONN = 107;
/** The server broke the protocol. */
const EPROTO = 71;
/** The client's own queue is full. */
export const EAGAIN = 11;
/** The server took longer than the deadline for connecting. */
export const ETIMEDOUT = 110;

const NAMES: ReadonlyMap<number, string> = new Map([
  [wire.NBD_EPERM, 'EPERM'],
  [wire.NBD_EIO, 'EIO'],
  [EAGAIN, 'EAGAIN'],
  [wire.NBD_ENOMEM, 'ENOMEM'],
  [wire.NBD_EINVAL, 'EINVAL'],
  [wire.NBD_ENOSPC, 'ENOSPC'],
  [EPROTO, 'EPROTO'],
  [wire.NBD_EOVERFLOW, 'EOVERFLOW'],
  [wire.NBD_ENOTSUP, 'ENOTSUP'],
  [ENOTCONN, 'ENOTCONN'],
  [wire.NBD_ESHUTDOWN, 'ESHUTDOWN'],
  [ETIMEDOUT, 'ETIMEDOUT'],
]);

export class NbdError extends Error {
  override readonly name = 'NbdError';
  readonly errno: number;
  /** Name of the number, such as 'EIO'. */
  readonly code: string;

  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
    this.code = NAMES.get(errno) ?? `E${errno}`;
  }

  static lost(message: string): NbdError {
    return new NbdError(ENOTCONN, message);
  }

  static protocol(message: string): NbdError {
    return new NbdError(EPROTO, message);
  }
}
