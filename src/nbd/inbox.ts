/**
 * The receive buffer of a connection: bytes [start, end) have arrived and are not consumed.
 *
 * Invariants:
 * - bytes move only in `space`, which the socket asks for after each read. In between, whatever was handed out stays
 *   valid, because a paused socket puts its first bytes after the pause there;
 * - `space` never hands out an empty range while the socket may read.
 */

export const INBOX_BYTES = 256 * 1024;
/** Largest block of a device: a whole block with its header has to fit the inbox several times. */
export const MAX_BLOCK_SIZE = 64 * 1024;
/** Kept free so that the socket, told to pause, still has somewhere to put its next read. */
const RESERVE = 16 * 1024;

export class Inbox {
  bytes: Uint8Array;
  view: DataView;
  start = 0;
  end = 0;

  constructor() {
    // Growable shared memory, as devices use for their own pages: views of it are made twice as fast as views of a Buffer,
    // and calls that get either stay monomorphic.
    this.bytes = new Uint8Array(new SharedArrayBuffer(INBOX_BYTES, { maxByteLength: INBOX_BYTES }), 0, INBOX_BYTES);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
  }

  get unread(): number {
    return this.end - this.start;
  }

  /** Whether the socket has to pause: no room is left that moving bytes could not make. */
  get crowded(): boolean {
    return this.unread > INBOX_BYTES - 2 * RESERVE;
  }

  /** Whether a paused socket may go on. */
  get roomy(): boolean {
    return this.unread <= INBOX_BYTES / 2;
  }

  /** Where the next read goes. */
  space(): Uint8Array {
    if (this.start === this.end) {
      this.start = 0;
      this.end = 0;
    } else if (this.end > INBOX_BYTES - 2 * MAX_BLOCK_SIZE && this.start > 0) {
      // What is left over is less than a block, unless the connection is stalled, and then this is rare. A unit that
      // waits may move too: its device has taken nothing.
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    const limit = this.end < INBOX_BYTES - RESERVE ? INBOX_BYTES - RESERVE : INBOX_BYTES;
    return this.bytes.subarray(this.end, limit);
  }

  /** Adopts bytes that hold all that will ever come; the socket must not read any more. */
  replace(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.start = 0;
    this.end = bytes.length;
  }
}
