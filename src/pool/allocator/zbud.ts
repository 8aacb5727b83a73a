/**
 * The allocator zbud, after mm/zbud.c (3.11 to 6.14): at most two objects to a page, the first from the left and the last to
 * the right, so that what is free is always in one piece. It never needs more than a page for a page, and never packs more
 * than two into one; it was chosen because it is simple to take a page from it.
 *
 * One lock for everything. An object stays where it is until it is freed.
 *
 * With a list of pages (to 6.4): a page that is being reclaimed is on no list, so nobody stores to it, and whoever frees an
 * object of it leaves the page to reclaim. So what is evicted by its place is still there to be read, be it freed or not:
 *   1. reclaim notes the places of both objects   2. a TRIM frees the first   3. reclaim reads its label, and finds nothing
 */
import * as sync from '../../shm/sync.ts';
import { type Objects, type PageReclaim, RECLAIM, type ReclaimResult } from './allocator.ts';
import {
  ageNewest,
  ageOff,
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
  oldestPage,
  PAGE_CHUNKS,
  pageOf,
  pageWithRoom,
  SHARED_BYTES_MAX,
  unlink,
} from './buddies.ts';
import { NIL, retirePage, takePage } from './stock.ts';

export class Zbud extends BuddyPages implements Objects, PageReclaim {
  readonly pages: PageReclaim | null = this.b.labelBytes > 0 ? this : null;
  readonly lengthMax = SHARED_BYTES_MAX - this.b.labelBytes;
  /** It takes whatever fits. */
  readonly poorBytes = this.lengthMax + 1;

  alloc(handle: number, length: number): boolean {
    const { b } = this;
    const chunks = chunksOf(length + b.labelBytes);
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
    if (this.pages !== null) ageNewest(b, page);
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
    if (this.pages !== null && b.claimed[page] === 1) return;
    unlink(b, page);
    if (b.first[page] + b.last[page] !== 0) link(b, page, roomOf(b, page));
    else {
      if (this.pages !== null) ageOff(b, page);
      retirePage(b, page);
    }
  }

  /** zbud_reclaim_page. */
  reclaimPage<T>(
    tries: number,
    _early: boolean,
    evict: (context: T, place: number) => boolean,
    context: T,
  ): ReclaimResult {
    const { b } = this;
    sync.lock(b.lock, 0);
    for (let i = 0; i < tries; i++) {
      const page = oldestPage(b);
      if (page === NIL) {
        sync.unlock(b.lock, 0);
        return i === 0 ? RECLAIM.NONE : RECLAIM.AGAIN;
      }
      ageOff(b, page);
      unlink(b, page);
      b.claimed[page] = 1;
      // The places are noted under the lock: who frees an object takes its chunks away.
      const first = b.first[page] === 0 ? 0 : locationOf(page, HEADER_CHUNKS, FIRST);
      const last = b.last[page] === 0 ? 0 : locationOf(page, PAGE_CHUNKS - b.last[page], LAST);
      sync.unlock(b.lock, 0);
      if (first === 0 || evict(context, first)) {
        if (last !== 0) evict(context, last);
      }
      sync.lock(b.lock, 0);
      b.claimed[page] = 0;
      if (b.first[page] + b.last[page] === 0) {
        retirePage(b, page);
        sync.unlock(b.lock, 0);
        return RECLAIM.FREED;
      }
      link(b, page, roomOf(b, page));
      ageNewest(b, page);
    }
    sync.unlock(b.lock, 0);
    return RECLAIM.AGAIN;
  }
}

/** Chunks that an object more may have; a page that has two takes no third. */
function roomOf(b: Buddies, page: number): number {
  if (b.first[page] !== 0 && b.last[page] !== 0) return 0;
  return OBJECT_CHUNKS - b.first[page] - b.last[page];
}
