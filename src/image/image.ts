/**
 * The contract of an image, as one thread has it: pages in, pages out, holes, zeros, sync. What is behind it, a file, a block
 * device or an explorer's memory, is nobody's matter who reads or writes slots.
 *
 * - A call is done when all of it is, whole or with an error; `done` is never called before the call has returned.
 * - No order is kept between two calls that are under way at once; the image queue does that (image/image_queue.ts).
 * - Bytes are safe when a `sync` that began after their write has ended well. After one that failed all later ones fail:
 *   a system reports a lost write once.
 * - Memory that is read into or written from stays as it is until `done`, and starts on a page where the image is direct.
 */

/** 0, or EIO or ENOSPC, as NBD says them. */
export type ImageDone = (errno: number) => void;

/** What a lane has of an image. */
export interface ReadableImage {
  /** Reads slots [slot, slot + count) into dst[at..]. */
  read(slot: number, count: number, dst: Uint8Array, at: number, done: ImageDone): void;
  /** What is under way completes, what comes later is EIO. */
  close(): void;
}

/** What the image queue has of it: all that changes an image goes through the one queue. */
export interface WritableImage {
  /** Transfers pass the page cache by: nothing has to be dropped from it, and memory has to be aligned. */
  readonly direct: boolean;
  /** Not known to have no holes, so that a punch would write zeros. */
  readonly punches: boolean;
  /** Writes whole pages to adjacent slots from `slot` on. */
  write(slot: number, pages: readonly Uint8Array[], done: ImageDone): void;
  /** Makes slots read as zeros and gives their room back, where that can be; ranges of a few MiB, as all that takes a claim. */
  punch(slot: number, count: number, done: ImageDone): void;
  /** As punch, but the zeros keep their room, so that later writes there can't meet a full disk. */
  zero(slot: number, count: number, done: ImageDone): void;
  sync(done: ImageDone): void;
  close(): void;
}

export interface Image extends ReadableImage, WritableImage {}

/** What a thread has to know of an image to open it; all of it survives postMessage. */
export interface OpenableImage {
  path: string;
  bytes: number;
  direct: boolean;
  blockDevice: boolean;
  identity: string;
}
