/**
 * An image behind a descriptor of the system: what files and block devices have in common.
 *
 * Invariants:
 * - A transfer is done when all of it is: short ones are continued from the last whole page, and MAX_STALLS in a row that
 *   move no whole page are EIO.
 * - An image shorter than the device is EIO, never zeros. The danger is a write past the new end, which would make the
 *   file long again with zeros in between, so the size is asked before each write, and the first who sees the file short,
 *   by that or by a read that meets the end, sets a flag for all threads: EIO until the server is started anew. Two
 *   cases stay unseen, because no system call shows them: somebody who shortens the file and himself makes it long again
 *   between two looks, and one who shortens it in the microseconds between a look and the write of the very last page.
 * - After a failed sync all later ones fail, on every thread: the kernel reports a lost write once and then forgets it.
 *   Without O_DIRECT it has also marked the lost pages clean: they read right while they are in the page cache, and as what
 *   the disk has, older bytes, once they are not. Nobody can tell which pages these are, so the whole image is given up.
 * - The descriptor is closed after the last transfer, never under one: its number could by then be another file's.
 *
 * No order is kept here between two calls; the image queue does that.
 */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { EDQUOT, EFBIG, EINTR, EIO, ENOSPC } from '../os/errno.ts';
import { adviseRandom } from '../os/syscalls.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { IMAGE_FLAG_WORDS } from '../pool/shared.ts';
import * as sync from '../shm/sync.ts';
import { describeBlockDevice } from './block_device.ts';
import { ImageError } from './error.ts';
import type { Image, ImageDone, OpenableImage } from './image.ts';
import { alignedBytes, fileIdentity, POOL_IO, punchUnsupported } from './io.ts';

/**
 * Words of the memory that all handles of an image share, in whatever thread. GIVEN_UP: it became short, or lost a write, so
 * that nothing it says can be trusted: EIO until the server is started anew.
 */
export const FLAG_GIVEN_UP = 0;
export const FLAG_SYNC_FAILED = 1;

/** The image has no room: ENOSPC, EDQUOT, and EFBIG (the file system's or the process's limit). */
const FULL: ReadonlySet<number> = new Set([ENOSPC, EDQUOT, EFBIG]);

const MAX_STALLS = 8;
/** Zeros are written from one buffer of this size, named up to ZERO_VIEWS times in a call. */
const ZERO_BYTES = 256 * 1024;
const ZERO_VIEWS = 8;
/** Bytes that a handle reads into the page cache, at most, before it drops the cache of its image. */
export const READ_CACHE_BYTES = 8 * 2 ** 20;
/** Views in one writev; Linux takes 1024. */
const MAX_VIEWS = 512;

let zeros: Uint8Array | null = null;

/** A sync has failed: no later one is good, and without O_DIRECT nothing that the image says. */
export function noteSyncFailed(flags: Int32Array, direct: boolean): void {
  sync.store(flags, FLAG_SYNC_FAILED, 1);
  if (!direct) sync.store(flags, FLAG_GIVEN_UP, 1);
}

export abstract class DescriptorImage implements Image {
  readonly direct: boolean;
  protected readonly fd: number;
  protected readonly image: OpenableImage;
  private readonly flags: Int32Array;
  punches = true;
  private readSinceDrop = 0;
  private pending = 0;
  private closing = false;

  /** `flags`: IMAGE_FLAG_WORDS words of shared memory, zero at start, the same for all handles of one image. */
  constructor(image: OpenableImage, flags: Int32Array) {
    if (flags.length < IMAGE_FLAG_WORDS) throw new RangeError(`an image needs ${IMAGE_FLAG_WORDS} words of flags`);
    this.image = image;
    this.direct = image.direct;
    this.flags = flags;
    this.fd = openSync(image.path, constants.O_RDWR | (image.direct ? constants.O_DIRECT : 0));
    const found = fstatSync(this.fd, { bigint: true });
    const identity = found.isBlockDevice() ? describeBlockDevice(Number(found.rdev)).identity : fileIdentity(found);
    if (identity !== image.identity) {
      closeSync(this.fd);
      throw new ImageError('replaced', `${image.path}: is not the image that was locked at start`);
    }
    if (!image.direct) adviseRandom(this.fd);
  }

  read(slot: number, count: number, dst: Uint8Array, at: number, done: ImageDone): void {
    const view = dst.subarray(at, at + count * PAGE_SIZE);
    if (view.length !== count * PAGE_SIZE) throw new RangeError(`${count} pages don't fit at ${at} of ${dst.length}`);
    this.checkMemory(view);
    this.checkRange(slot, count);
    this.begin(done, (finish) =>
      this.readOn(view, slot * PAGE_SIZE, 0, (errno) => this.dropRead(view.length, () => finish(errno))),
    );
  }

  /**
   * Without O_DIRECT what is read stays in the page cache, and a guest that reads its swap back would fill the RAM with it. The
   * read that meets the bound waits for the drop, so that the handles' sum is bounded whatever is under way.
   */
  private dropRead(bytes: number, finish: () => void): void {
    this.readSinceDrop += bytes;
    if (this.direct || this.readSinceDrop < READ_CACHE_BYTES) {
      finish();
      return;
    }
    this.readSinceDrop = 0;
    POOL_IO.dropCache(this.fd, finish);
  }

  write(slot: number, pages: readonly Uint8Array[], done: ImageDone): void {
    for (const page of pages) {
      if (page.length !== PAGE_SIZE) throw new RangeError(`a page has ${page.length} bytes`);
      this.checkMemory(page);
    }
    this.checkRange(slot, pages.length);
    this.begin(done, (finish) => this.writePages(slot * PAGE_SIZE, pages, finish));
  }

  punch(slot: number, count: number, done: ImageDone): void {
    this.checkRange(slot, count);
    const offset = slot * PAGE_SIZE;
    const end = offset + count * PAGE_SIZE;
    this.begin(done, (finish) => {
      if (this.punches) this.punchOn(offset, end, 0, finish);
      else this.writeZeros(offset, end, finish);
    });
  }

  zero(slot: number, count: number, done: ImageDone): void {
    this.checkRange(slot, count);
    const offset = slot * PAGE_SIZE;
    this.begin(done, (finish) => this.writeZeros(offset, offset + count * PAGE_SIZE, finish));
  }

  /** fdatasync. Without O_DIRECT the page cache is dropped too: swap must not refill the RAM that it emptied. */
  sync(done: ImageDone): void {
    this.begin(done, (finish) => {
      if (sync.load(this.flags, FLAG_SYNC_FAILED) !== 0) {
        finish(EIO);
        return;
      }
      POOL_IO.sync(this.fd, (errno) => {
        if (errno !== 0) {
          noteSyncFailed(this.flags, this.image.direct);
          finish(EIO);
        } else if (this.image.direct) finish(0);
        // The bytes are safe by now, so a cache that can't be dropped is no error.
        else POOL_IO.dropCache(this.fd, () => finish(0));
      });
    });
  }

  close(): void {
    if (this.closing) return;
    this.closing = true;
    if (this.pending === 0) closeSync(this.fd);
  }

  private begin(done: ImageDone, start: (finish: ImageDone) => void): void {
    if (this.closing || this.givenUp()) {
      setImmediate(done, EIO);
      return;
    }
    this.pending++;
    const finish: ImageDone = (errno) => {
      this.pending--;
      if (this.closing && this.pending === 0) closeSync(this.fd);
      // Given up in the meantime: then what was read may be zeros from beyond the end, or older bytes.
      if (this.givenUp()) done(EIO);
      else done(errno === 0 ? 0 : FULL.has(errno) ? ENOSPC : EIO);
    };
    start(finish);
  }

  private readOn(view: Uint8Array, position: number, stalls: number, finish: ImageDone): void {
    if (view.length === 0) {
      finish(0);
      return;
    }
    POOL_IO.read(this.fd, view, position, (errno, bytes) => {
      // A FUSE server that heeds interrupts ends a read so where the process is stopped or frozen; libuv asks again for writes only.
      if (errno !== 0 && errno !== EINTR) {
        finish(errno);
        return;
      }
      const whole = bytes - (bytes % PAGE_SIZE);
      const rest = view.subarray(whole);
      const next = whole > 0 ? 0 : stalls + 1;
      if (rest.length === 0) finish(0);
      else if (next > MAX_STALLS) finish(EIO);
      // Not one page where the device has one: most likely the end of a file that became short.
      else if (whole === 0) this.ifLong(finish, () => this.readOn(rest, position + whole, next, finish));
      else this.readOn(rest, position + whole, next, finish);
    });
  }

  private writePages(position: number, pages: readonly Uint8Array[], finish: ImageDone): void {
    this.ifLong(finish, () => this.writeOn(pages, position, 0, finish));
  }

  private writeOn(views: readonly Uint8Array[], position: number, stalls: number, finish: ImageDone): void {
    if (views.length === 0) {
      finish(0);
      return;
    }
    POOL_IO.write(this.fd, views.slice(0, MAX_VIEWS), position, (errno, bytes) => {
      const whole = bytes - (bytes % PAGE_SIZE);
      const next = whole > 0 ? 0 : stalls + 1;
      if (errno !== 0) finish(errno);
      else if (next > MAX_STALLS) finish(EIO);
      else this.writeOn(dropBytes(views, whole), position + whole, next, finish);
    });
  }

  private writeZeros(from: number, end: number, finish: ImageDone): void {
    if (from >= end) {
      finish(0);
      return;
    }
    zeros ??= alignedBytes(ZERO_BYTES);
    const views: Uint8Array[] = [];
    let to = from;
    while (to < end && views.length < ZERO_VIEWS) {
      const bytes = Math.min(ZERO_BYTES, end - to);
      views.push(zeros.subarray(0, bytes));
      to += bytes;
    }
    this.writePages(from, views, (errno) => {
      if (errno !== 0) finish(errno);
      else this.writeZeros(to, end, finish);
    });
  }

  private punchOn(offset: number, end: number, stalls: number, finish: ImageDone): void {
    if (offset >= end) {
      finish(0);
      return;
    }
    POOL_IO.punch(this.fd, offset, end - offset, (errno) => {
      if (this.punchRefused(errno)) this.writeZeros(offset, end, finish);
      else if (errno === EINTR && stalls < MAX_STALLS) this.punchOn(offset, end, stalls + 1, finish);
      else if (punchUnsupported(errno)) {
        this.punches = false;
        this.writeZeros(offset, end, finish);
      } else finish(errno);
    });
  }

  /** Goes on if the image still has the device's size; otherwise it is given up for good. */
  protected abstract ifLong(finish: ImageDone, goOn: () => void): void;

  /** Whether zeros are the way out of a punch that failed, this time. */
  protected abstract punchRefused(errno: number): boolean;

  /** EIO for all threads, until the server is started anew. */
  protected giveUp(): void {
    sync.store(this.flags, FLAG_GIVEN_UP, 1);
  }

  private givenUp(): boolean {
    return sync.load(this.flags, FLAG_GIVEN_UP) !== 0;
  }

  /** O_DIRECT refuses memory that is not aligned; a page inside growable shared memory is. A mistake of the caller. */
  private checkMemory(view: Uint8Array): void {
    if (this.image.direct && view.byteOffset % PAGE_SIZE !== 0) throw new RangeError('O_DIRECT needs aligned memory');
  }

  private checkRange(slot: number, count: number): void {
    if (slot < 0 || count < 0 || (slot + count) * PAGE_SIZE > this.image.bytes) {
      throw new RangeError(`slots ${slot}+${count} are outside of the image`);
    }
  }
}

/** `views` without their first `bytes`. */
function dropBytes(views: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes;
  let at = 0;
  while (at < views.length && left >= views[at].length) left -= views[at++].length;
  if (at === views.length) return [];
  return left === 0 ? views.slice(at) : [views[at].subarray(left), ...views.slice(at + 1)];
}
