/**
 * The pages of an allocator that hold no object, and the memory they are all in: segments of 1 GiB, cut into pages of one
 * size. A page that was freed is dirty: its memory is still this process's, and it is handed out first. Maintenance gives
 * memory of dirty pages back to the system, and then they are clean, as those are that were never touched.
 *
 * Lock order: the stock's lock, control[0], is taken last of all the locks of an allocator.
 */
import { reserve } from '../../shm/columns.ts';
import * as sync from '../../shm/sync.ts';

/** An offset into a segment fits an Int32, and buffers of this size find room more easily than one of the whole pool. */
export const SEGMENT_BYTES = 2 ** 30;
/** No page; it ends every list of pages. */
export const NIL = -1;

export interface Stock {
  readonly segments: readonly Uint8Array[];
  readonly pages: number;
  readonly pageBytes: number;
  /** Links pages that hold nothing; for the others it is the allocator's. */
  readonly next: Int32Array;
  /** See the constants below. */
  readonly control: Int32Array;
}

const LOCK = 0;
const DIRTY_HEAD = 1;
const CLEAN_HEAD = 2;
const HIGH_WATER = 3;
const IN_USE = 4;
const DIRTY_COUNT = 5;
/** Words of `control`. */
export const STOCK_WORDS = DIRTY_COUNT + 1;

/** `control` of a stock of which nothing was handed out. */
export function emptyStock(control: Int32Array): Int32Array {
  control[DIRTY_HEAD] = NIL;
  control[CLEAN_HEAD] = NIL;
  return control;
}

export function createSegments(bytes: number): Uint8Array[] {
  const segments: Uint8Array[] = [];
  for (let left = bytes; left > 0; left -= SEGMENT_BYTES) {
    const size = Math.min(left, SEGMENT_BYTES);
    segments.push(new Uint8Array(reserve(size), 0, size));
  }
  return segments;
}

export function pagesInUse({ control }: Pick<Stock, 'control'>): number {
  return sync.load(control, IN_USE);
}

/** Bytes of pages in use (pool_total_size). */
export function totalSize(stock: Stock): number {
  return pagesInUse(stock) * stock.pageBytes;
}

/** Bytes of free pages whose memory has not gone back to the system. */
export function dirtySize({ control, pageBytes }: Stock): number {
  return sync.load(control, DIRTY_COUNT) * pageBytes;
}

/** Pages that were ever handed out: the bound of a scan over all of them. */
export function pagesTouched({ control }: Stock): number {
  return sync.load(control, HIGH_WATER);
}

/** A page that nobody has, or NIL. */
export function takePage({ control, next, pages }: Stock): number {
  sync.lock(control, LOCK);
  let page = control[DIRTY_HEAD];
  if (page !== NIL) {
    control[DIRTY_HEAD] = next[page];
    control[DIRTY_COUNT]--;
  } else if (control[CLEAN_HEAD] !== NIL) {
    page = control[CLEAN_HEAD];
    control[CLEAN_HEAD] = next[page];
  } else if (control[HIGH_WATER] < pages) page = control[HIGH_WATER]++;
  if (page !== NIL) control[IN_USE]++;
  sync.unlock(control, LOCK);
  return page;
}

/** The page is on no list of its allocator any more, and holds no object. */
export function retirePage({ control, next }: Stock, page: number): void {
  sync.lock(control, LOCK);
  next[page] = control[DIRTY_HEAD];
  control[DIRTY_HEAD] = page;
  control[DIRTY_COUNT]++;
  control[IN_USE]--;
  sync.unlock(control, LOCK);
}

/**
 * Gives the memory of dirty pages beyond `keepBytes` back to the system, at most `most` of them; returns how many.
 * `release` is madvise(MADV_DONTNEED) on one page. The page is on no list while it happens.
 */
export function trimPages(
  stock: Stock,
  keepBytes: number,
  most: number,
  release: (segment: Uint8Array, offset: number, bytes: number) => void,
): number {
  const { control, next, pageBytes, segments } = stock;
  const perSegment = SEGMENT_BYTES / pageBytes;
  let done = 0;
  for (; done < most && dirtySize(stock) > keepBytes; done++) {
    sync.lock(control, LOCK);
    const page = control[DIRTY_HEAD];
    if (page !== NIL) {
      control[DIRTY_HEAD] = next[page];
      control[DIRTY_COUNT]--;
    }
    sync.unlock(control, LOCK);
    if (page === NIL) break;
    release(segments[Math.floor(page / perSegment)], (page % perSegment) * pageBytes, pageBytes);
    sync.lock(control, LOCK);
    next[page] = control[CLEAN_HEAD];
    control[CLEAN_HEAD] = page;
    sync.unlock(control, LOCK);
  }
  return done;
}
