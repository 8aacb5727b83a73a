/**
 * The allocator zbud, after mm/zbud.c (3.11 to 6.14): at most two objects to a page, the first from the left and the last to
 * the right, so that what is free is always in one piece. It never needs more than a page for a page, and never packs more
 * than two into one; it was chosen because it is simple to take a page from it.
 *
 * One lock for everything. An object stays where it is until it is freed.
 */
import * as sync from '../../shm/sync.ts';
import type { Objects } from './allocator.ts';
import {
  type Buddies,
  BuddyPages,
  buddyOf,
  chunksOf,
  FIRST,
  HEADER_CHUNKS,
  LAST,
  link,
  locationOf,
  OBJECT_CHUNKS,
  PAGE_CHUNKS,
  pageOf,
  pageWithRoom,
  SHARED_BYTES_MAX,
  unlink,
} from './buddies.ts';
import { NIL, retirePage, takePage } from './stock.ts';

export class Zbud extends BuddyPages implements Objects {
  readonly lengthMax = SHARED_BYTES_MAX;
  /** It takes whatever fits. */
  readonly poorBytes = SHARED_BYTES_MAX + 1;

  alloc(handle: number, length: number): boolean {
    const { b } = this;
    const chunks = chunksOf(length);
    sync.lock(b.lock, 0);
    let page = pageWithRoom(b, chunks);
    if (page === NIL) page = takePage(b);
    else unlink(b, page);
    if (page === NIL) {
      sync.unlock(b.lock, 0);
      return false;
    }
    if (b.first[page] === 0) {
      b.first[page] = chunks;
      b.location[handle] = locationOf(page, HEADER_CHUNKS, FIRST);
    } else {
      b.last[page] = chunks;
      b.location[handle] = locationOf(page, PAGE_CHUNKS - chunks, LAST);
    }
    link(b, page, roomOf(b, page));
    sync.store(b.readers, handle, 1);
    sync.unlock(b.lock, 0);
    return true;
  }

  /** Frees the object of `handle`. Nobody may have it mapped. */
  free(handle: number): void {
    const { b } = this;
    sync.lock(b.lock, 0);
    const location = b.location[handle];
    if (location !== 0) this.release(location);
    b.location[handle] = 0;
    sync.unlock(b.lock, 0);
    if (location === 0) throw new Error(`handle ${handle} does not own an object: double free`);
  }

  /** Caller holds the lock. The last object takes its page with it. */
  private release(location: number): void {
    const { b } = this;
    const page = pageOf(location);
    if (buddyOf(location) === FIRST) b.first[page] = 0;
    else b.last[page] = 0;
    unlink(b, page);
    if (b.first[page] + b.last[page] === 0) retirePage(b, page);
    else link(b, page, roomOf(b, page));
  }
}

/** Chunks that an object more may have; a page that has two takes no third. */
function roomOf(b: Buddies, page: number): number {
  if (b.first[page] !== 0 && b.last[page] !== 0) return 0;
  return OBJECT_CHUNKS - b.first[page] - b.last[page];
}
