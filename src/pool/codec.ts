/**
 * One thread's compressor: zstd contexts made once, a scratch page, and the test for same-filled pages.
 *
 * Nothing here throws: the native calls are wrapped once, and a failure is a return value. The destination of a
 * compression is compressBound(4096) bytes long, because the binding throws on a shorter one.
 */

import zstd from 'zstd-napi/binding.js';
import { reserve } from '../shm/columns.ts';
import { PAGE_SIZE } from './limits.ts';

/** Result of compress() when the compressor itself failed. */
export const COMPRESS_FAILED = -1;

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

  /** `level`: zstd's, -7 to 19. */
  constructor(level: number) {
    this.cctx.setParameter(zstd.CParameter.compressionLevel, level);
    // The size of a page is known; the field would only make every object longer.
    this.cctx.setParameter(zstd.CParameter.contentSizeFlag, 0);
  }

  /** Compresses one page into `scratch`; returns the bytes, or COMPRESS_FAILED. */
  compress(page: Uint8Array): number {
    try {
      return this.cctx.compress2(this.scratch, page);
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
    return true;
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
