/**
 * The receive buffer of a connection: bytes [start, end) have arrived and are not consumed.
 *
 * Invariants:
 * - bytes move only in `space`, which the socket asks for after each read, and while the socket is paused;
 * - a paused socket puts its first bytes after the pause where `space` said before it. Until they are there, nothing else is
 *   put into that memory: what comes meanwhile makes the inbox move to another one;
 * - `space` never hands out an empty range while the socket may read;
 * - memory beyond INBOX_BYTES is for bytes that are there, at most CATCH_UP_BYTES of it, until `giveBack`.
 */
import { pageMemory } from './page_memory.ts';

const INBOX_BYTES = 256 * 1024;
/** Largest block of a device: a whole block with its header has to fit the inbox several times. */
export const MAX_BLOCK_SIZE = 64 * 1024;
/**
 * How much a connection that was paused for long takes in before it goes on: what a client's kernel can hold of a TCP
 * connection that its client has closed, and ours (tcp_wmem and tcp_rmem, 4 and 6 MiB as Linux comes). Whatever comes
 * after that much was sent when the pause was over.
 */
const CATCH_UP_BYTES = 12 * 1024 * 1024;
/** Kept free so that the socket, told to pause, still has somewhere to put its next read. */
const RESERVE = 16 * 1024;

/** `fill` finds nothing more often than not, so it looks here first. What one look puts here, it takes out again. */
const looked = new Uint8Array(64 * 1024);

export class Inbox {
  bytes: Uint8Array;
  view: DataView;
  start = 0;
  end = 0;
  /** The memory that `space` was in last. */
  #handed: ArrayBufferLike;
  /** What the inbox goes back to when it has grown: of two, one has not been handed out. */
  readonly #usual: Uint8Array[] = [];

  /** `rest` is what is there already. */
  constructor(rest: Uint8Array = new Uint8Array(0)) {
    this.bytes = allocate(INBOX_BYTES);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    this.#usual.push(this.bytes);
    this.#handed = this.bytes.buffer;
    this.bytes.set(rest);
    this.end = rest.length;
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
    if (this.roomy) this.giveBack();
    if (this.start === this.end) {
      this.start = 0;
      this.end = 0;
    } else if (this.end > this.bytes.length - 2 * MAX_BLOCK_SIZE && this.start > 0) {
      // What is left over is less than a block, unless the connection is stalled, and then this is rare. A unit that
      // waits may move too: its device has taken nothing.
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    const all = this.bytes.length;
    const limit = this.end < all - RESERVE ? all - RESERVE : all;
    this.#handed = this.bytes.buffer;
    return this.bytes.subarray(this.end, limit);
  }

  /** The socket has put `n` bytes into `space`, which is not here any more if the bytes moved during a pause. */
  received(space: Uint8Array, n: number): void {
    if (space.buffer !== this.bytes.buffer) {
      this.#makeRoom(n);
      this.bytes.set(space.subarray(0, n), this.end);
    }
    this.end += n;
  }

  /** For a paused socket: takes what `read` has, up to CATCH_UP_BYTES with what is here; returns how much that was. */
  fill(read: (into: Uint8Array) => number): number {
    let n = this.#left === 0 ? 0 : read(looked.subarray(0, Math.min(this.#left, looked.length)));
    if (n <= 0) return 0;
    if (this.bytes.buffer === this.#handed) this.#move(new Uint8Array(2 * INBOX_BYTES));
    this.#makeRoom(n);
    this.bytes.set(looked.subarray(0, n), this.end);
    const before = this.unread;
    do {
      this.end += n;
      if (this.#left === 0) break;
      this.#makeRoom(Math.min(this.#left, looked.length));
      n = read(this.bytes.subarray(this.end, this.end + this.#left));
    } while (n > 0);
    return this.unread - before;
  }

  /** How much more a catching up may take. */
  get #left(): number {
    return CATCH_UP_BYTES - this.unread;
  }

  /** Lets go of what the inbox has grown by; only when it is `roomy`. */
  giveBack(): void {
    if (this.bytes.length <= INBOX_BYTES) return;
    let usual = this.#usual.find((bytes) => bytes.buffer !== this.#handed);
    if (usual === undefined) {
      usual = allocate(INBOX_BYTES);
      this.#usual.push(usual);
    }
    this.#move(usual);
  }

  /** Makes room for `n` bytes behind the others; grows in steps, so that what is there pays for what is moved. */
  #makeRoom(n: number): void {
    const all = this.bytes.length;
    if (all - this.end >= n) return;
    if (this.unread + n <= all / 2 || all >= CATCH_UP_BYTES) {
      this.bytes.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    } else {
      this.#move(new Uint8Array(Math.min(2 * all, CATCH_UP_BYTES)));
    }
  }

  /** To memory of the usual kind, or to such as counts for the garbage collection: what has grown is to go soon. */
  #move(bytes: Uint8Array): void {
    bytes.set(this.bytes.subarray(this.start, this.end));
    this.replace(bytes, this.unread);
  }

  /** Adopts bytes that hold all that will ever come; the socket must not read any more. */
  replace(bytes: Uint8Array, unread = bytes.length): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.start = 0;
    this.end = unread;
  }
}

/** As devices use it for their own pages: calls that get either stay monomorphic. */
function allocate(length: number): Uint8Array {
  return new Uint8Array(pageMemory(length), 0, length);
}
