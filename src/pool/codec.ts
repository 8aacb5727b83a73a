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
/** Objects of at least this many bytes gain nothing: their size class would hold a raw page as well. */
export const POOR_BYTES = 3840;

export class Codec {
  /** Holds the object after compress(). */
  readonly scratch = new Uint8Array(reserve(8192), 0, 8192);
  /** Views of the front of `scratch`, by length: making one per page would be half of this thread's garbage. */
  private readonly fronts: (Uint8Array | undefined)[] = new Array(PAGE_SIZE + 1).fill(undefined);
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

  /** Decompresses `object` into `page`; false unless exactly one page came out. */
  decompress(page: Uint8Array, object: Uint8Array): boolean {
    try {
      return this.dctx.decompress(page, object) === PAGE_SIZE;
    } catch {
      return false;
    }
  }
}

/** True if the page is one 32-bit word repeated. `words` views the page; it starts at word `at`. */
export function isSameFilled(words: Uint32Array, at: number): boolean {
  const first = words[at];
  // Most pages differ at once, and pages of text differ at the end.
  if (words[at + PAGE_SIZE / 4 - 1] !== first) return false;
  for (let i = at + 1, end = at + PAGE_SIZE / 4; i < end; i++) if (words[i] !== first) return false;
  return true;
}
