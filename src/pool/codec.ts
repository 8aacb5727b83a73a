/**
 * One thread's compressor: zstd contexts made once, a scratch page, and the test for same-filled pages.
 *
 * Nothing here throws: the native calls are wrapped once, and a failure is a return value. The destination of a
 * compression is compressBound(4096) bytes long, because the binding throws on a shorter one. zstd makes and verifies the checksums too:
 * of compressed pages beside its own work, and of others as the content of a frame that is stored as it is.
 */

import zstd from 'zstd-napi/binding.js';
import { reserve } from '../shm/columns.ts';
import { PAGE_SIZE } from './limits.ts';

/** Result of compress() when the compressor itself failed. */
export const COMPRESS_FAILED = -1;

/**
 * Magic number, a frame with a checksum and without its size, a window of 4 KiB; the last block, stored as it is, of 4096 bytes
 * (RFC 8878, 3.1.1). The page follows, and the low word of its XXH64.
 */
const FRAME_HEAD = [0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x10, 0x01, 0x80, 0x00];
const SUM_BYTES = 4;

export class Codec {
  /** Holds the object after compress(). */
  readonly scratch = new Uint8Array(reserve(8192), 0, 8192);
  /** Views of the front of `scratch`, by length: making one per page would be half of this thread's garbage. */
  private readonly fronts: (Uint8Array | undefined)[] = new Array(PAGE_SIZE + 1).fill(undefined);
  /** The word of the page that isSameFilled() last said yes to. */
  fillWord = 0;
  /** Where a page that starts at an odd address is looked at as words. */
  private readonly aligned = new Uint8Array(PAGE_SIZE);
  private readonly words = new Uint32Array(this.aligned.buffer);
  private readonly cctx = new zstd.CCtx();
  private readonly dctx = new zstd.DCtx();

  private readonly checksums: boolean;
  /** Of the page that compress() or isSameFilled() has said yes to last; 0 without checksums. */
  sum = 0;
  /** A page as zstd stores what it can't compress, with its checksum: what verifies one. */
  private readonly frame = new Uint8Array(FRAME_HEAD.length + PAGE_SIZE + SUM_BYTES);
  private readonly verified = new Uint8Array(PAGE_SIZE);

  /** `level`: zstd's, -7 to 19. `checksums`: each object ends with that of its page. */
  constructor(level: number, checksums = false) {
    this.checksums = checksums;
    this.frame.set(FRAME_HEAD);
    this.cctx.setParameter(zstd.CParameter.checksumFlag, Number(checksums));
    this.cctx.setParameter(zstd.CParameter.compressionLevel, level);
    // The size of a page is known; the field would only make every object longer.
    this.cctx.setParameter(zstd.CParameter.contentSizeFlag, 0);
  }

  /** Compresses one page into `scratch`; returns the bytes, or COMPRESS_FAILED. */
  compress(page: Uint8Array): number {
    try {
      const bytes = this.cctx.compress2(this.scratch, page);
      if (this.checksums) this.sum = tailWord(this.scratch, bytes);
      return bytes;
    } catch {
      // The reason is of no use to the caller: the page goes to the image and reject_compress_fail counts it.
      return COMPRESS_FAILED;
    }
  }

  /** The object that compress() left, of `bytes` bytes. */
  object(bytes: number): Uint8Array {
    const made = this.fronts[bytes];
    if (made !== undefined) return made;
    const view = this.scratch.subarray(0, bytes);
    this.fronts[bytes] = view;
    return view;
  }

  /** True if the page is one 32-bit word repeated, which is then in `fillWord`. */
  isSameFilled(page: Uint8Array): boolean {
    // A few bytes decide for nearly every page; only then is it worth a copy to an aligned place.
    if (page[0] !== page[PAGE_SIZE - 4] || page[1] !== page[5] || page[2] !== page[2046]) return false;
    this.aligned.set(page);
    const { words } = this;
    const [first] = words;
    for (let i = words.length - 1; i > 0; i--) if (words[i] !== first) return false;
    this.fillWord = first;
    if (this.checksums) this.sum = fillSum(first);
    return true;
  }

  /** The sum of a page that is not compressed otherwise; 0 where that failed, or without checksums. */
  sumOf(page: Uint8Array): number {
    return !this.checksums || this.compress(page) === COMPRESS_FAILED ? 0 : this.sum;
  }

  /** Whether the page at src[at..] has this sum: as zstd has it, or as that of a page of one word. */
  hasSum(src: Uint8Array, at: number, sum: number): boolean {
    const { frame, verified } = this;
    const page = src.subarray(at, at + PAGE_SIZE);
    frame.set(page, FRAME_HEAD.length);
    const end = FRAME_HEAD.length + PAGE_SIZE;
    for (let i = 0; i < SUM_BYTES; i++) frame[end + i] = (sum >>> (8 * i)) & 0xff;
    return (this.isSameFilled(page) && this.sum === sum) || this.decompress(verified, frame);
  }

  /** Decompresses `object` into `page`; false unless exactly one page came out. */
  decompress(page: Uint8Array, object: Uint8Array): boolean {
    try {
      return this.dctx.decompress(page, object) === PAGE_SIZE;
    } catch {
      return false;
    }
  }
}

/** The sum at the end of an object that has one. */
export function tailWord(object: Uint8Array, bytes: number): number {
  return object[bytes - 4] | (object[bytes - 3] << 8) | (object[bytes - 2] << 16) | (object[bytes - 1] << 24);
}

/** Stands for the sum of a page of one word, which has no object; a multiplication by an odd number tells all words apart. */
export function fillSum(word: number): number {
  return Math.imul(word ^ 0x5bd1e995, 0x9e3779b1) | 0;
}

/** Makes a page of one little-endian 32-bit word; the page may start at any address. */
export function fillPage(page: Uint8Array, word: number): void {
  if (word === 0) {
    page.fill(0);
    return;
  }
  page[0] = word & 0xff;
  page[1] = (word >>> 8) & 0xff;
  page[2] = (word >>> 16) & 0xff;
  page[3] = word >>> 24;
  for (let have = 4; have < PAGE_SIZE; have *= 2) page.copyWithin(have, 0, have);
}
