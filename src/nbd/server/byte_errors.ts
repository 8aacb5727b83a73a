/** What a client is told of what a ByteDevice threw. */
import * as wire from '../wire.ts';

/** By the names that Node gives to errors of the system. */
const ERRORS: ReadonlyMap<unknown, number> = new Map([
  ['EPERM', wire.NBD_EPERM],
  ['EACCES', wire.NBD_EPERM],
  ['EROFS', wire.NBD_EPERM],
  ['ENOMEM', wire.NBD_ENOMEM],
  ['EINVAL', wire.NBD_EINVAL],
  ['ENOSPC', wire.NBD_ENOSPC],
  ['EDQUOT', wire.NBD_ENOSPC],
  ['EFBIG', wire.NBD_ENOSPC],
  ['EOVERFLOW', wire.NBD_EOVERFLOW],
  ['ENOTSUP', wire.NBD_ENOTSUP],
  ['EOPNOTSUPP', wire.NBD_ENOTSUP],
  ['ESHUTDOWN', wire.NBD_ESHUTDOWN],
]);

/** EIO for whatever has no code of that list, or none that can be read. */
export function errnoOf(error: unknown): number {
  try {
    return ERRORS.get((error as { readonly code?: unknown } | null | undefined)?.code) ?? wire.NBD_EIO;
  } catch {
    // A getter of the device's own: the error as a whole was told to `onError`.
    return wire.NBD_EIO;
  }
}

/**
 * Tells an error to whoever wants to know. What that one throws is an uncaught exception, as with any listener, but not
 * before the call is over for its client and for those that wait for it.
 */
export function tell(onError: (error: unknown) => void, error: unknown): void {
  try {
    onError(error);
  } catch (thrown) {
    process.nextTick(() => {
      throw thrown;
    });
  }
}
