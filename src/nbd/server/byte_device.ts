/** A device in a few lines: bytes at offsets, by promises or plain returns. What it can do is what it has methods for. */

/** What every call is told besides its arguments. */
export interface DeviceCall {
  /** Aborts when the connection that asked has ended. What the call still does then, nobody waits for. */
  readonly signal: AbortSignal;
}

export interface ZeroCall extends DeviceCall {
  /** The client wants space that is provisioned. */
  readonly noHole: boolean;
  /** Only with `fastZero`: fail with code ENOTSUP at once if this would take as long as to write zeros. */
  readonly fast: boolean;
}

/**
 * Methods return when the work is done, or a promise of that; the value is ignored, but for bytes and counts (see `read` and
 * `write`). What they throw, or reject with, is the client's error: `code` ENOSPC, EPERM, EACCES, EROFS, EINVAL, ENOMEM, ENOTSUP and so on by name, everything else EIO.
 *
 * Calls run at the same time, but never two that change the same bytes: the later one waits, whichever connection it is
 * from. Buffers belong to the call: they are nobody else's before, during and after it.
 */
export interface ByteDevice {
  /** What tells it from a `Device`, whose `info` is there. */
  readonly info?: undefined;
  /** What clients ask for it by; without one it is the export that has no name. */
  readonly name?: string;
  /** Bytes, any number of them that is a multiple of `minBlock`. */
  readonly size: number;
  readonly description?: string;
  /** READs are made of whole blocks of this size, cut at the end of the device: a power of two, 512 to 65536; 4096 if not given. */
  readonly blockSize?: number;
  /** What the offsets and lengths of clients have to be multiples of: a power of two up to blockSize; 1 if not given. */
  readonly minBlock?: number;
  /** Whether `zero` heeds `fast`. */
  readonly fastZero?: boolean;
  /**
   * Fills `into`, which comes zeroed, with what is at `offset`, and returns nothing, or how much it has read, as a number or as
   * the `{ bytesRead }` of Node's files; or returns the bytes, in an ArrayBuffer or a view of one. Less or more than
   * `into.length`, and any other value, is EIO, of which `onError` is told.
   */
  read(offset: number, into: Uint8Array, call: DeviceCall): unknown;
  /**
   * Stores up to 256 KiB, of one request. A number that it returns, or a `{ bytesWritten }`, is what it has stored; another one
   * than `from.length` is EIO. Without it the export is read-only.
   */
  write?(offset: number, from: Uint8Array, call: DeviceCall): unknown;
  /** The client needs these bytes no more. */
  trim?(offset: number, length: number, call: DeviceCall): unknown;
  /** Makes bytes zero. */
  zero?(offset: number, length: number, call: ZeroCall): unknown;
  /** Done when all that was answered before is durable. With it FUA is offered too, and calls it before the answer. */
  flush?(call: DeviceCall): unknown;
}
