/**
 * What can be wrong with an image at start, as one line for the operator; whoever starts the server maps the kind to an
 * exit code. Errors of single reads and writes are errno values, not exceptions.
 */

export type ImageErrorKind =
  /** Another process, or another export of ours, has it. */
  | 'locked'
  | 'size'
  | 'open'
  /** Neither a regular file nor a block device, or a file with several names. */
  | 'type'
  /** O_DIRECT was insisted on and can't be had. */
  | 'direct'
  /** The path leads to another file than the one that was locked. */
  | 'replaced'
  /** Whether it is stale can't be told. */
  | 'marker'
  /** Left by an unclean stop, and nobody said what to do with it. */
  | 'stale'
  /** Stale, and what it holds could not be discarded. */
  | 'reset';

export class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly kind: ImageErrorKind;

  constructor(kind: ImageErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** The positive errno of a system error; EIO for anything else. */
export function systemErrno(error: unknown): number {
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  return typeof errno === 'number' && errno !== 0 ? Math.abs(errno) : 5;
}
