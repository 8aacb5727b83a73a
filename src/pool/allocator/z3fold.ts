/**
 * The allocator z3fold, after mm/z3fold.c (4.8 to 6.14): as zbud, with a third object in the middle of a page. The middle
 * one is moved towards a neighbour when the gap is worth it, by whoever frees an object of the page; and an object that is
 * too large to share a page has one to itself, without the header chunk.
 *
 * Locks: a page's lock has what is in it, the pool's lock has the lists. Either may be wanted by who has the other:
 *   page lock -> pool lock   alloc and free, which know their page
 *   pool lock -> page lock   alloc, which looks for a page; it only tries, and goes on to the next list if another has it
 * Who has a page's lock and found it on a list takes it off there, so nobody else finds it; the last object takes it away.
 * With a list of pages (to 6.4) a page has a count: one for each of its objects, and one of whoever reclaims it. Reclaim has
 * the page's lock while it claims it, and no lock while it evicts; a page that is claimed stays off the lists, and the last
 * to drop the count frees it. Both faults of its history can be had (protocols/lru/pages.ts):
 *   1. free has the page's lock   2. reclaim takes its reference without it, and finds the page locked   3. free drops the last
 *   one of an object   4. reclaim drops its own, which is the last of all: freeing takes the pool's lock, which reclaim has
 *   1. reclaim notes a handle   2. a TRIM frees the object   3. reclaim tells its place by its chunks, and it has none
 * Moving: `readers` of the middle object goes 0 -> MOVING first, as in compaction.ts, so nothing moves that is looked at.
 */
import * as sync from '../../shm/sync.ts';
import { PAGE_SIZE } from '../limits.ts';
import { type Objects, type PageReclaim, RECLAIM, type ReclaimResult } from './allocator.ts';
import {
  ageNewest,
  ageOff,
  BuddyPages,
  buddyOf,
  CHUNK_BYTES,
  chunkOf,
  chunksOf,
  FIRST,
  HEADER_CHUNKS,
  LAST,
  LISTS,
  link,
  locationOf,
  MIDDLE,
  MOVING,
  NO_LIST,
  oldestPage,
  PAGE_CHUNKS,
  pageOf,
  roomBesideMiddle,
  SHARED_BYTES_MAX,
  unlink,
} from './buddies.ts';
import { NIL, retirePage, takePage } from './stock.ts';

/** Moving costs a copy, so a gap beside the middle object has to be worth it: BIG_CHUNK_GAP of the kernel. */
const BIG_GAP = 3;
/** Pages that reclaim looks at under the pool's lock, when those that are older are locked or claimed by others. */
const LOOK_MAX = 64;

export class Z3fold extends BuddyPages implements Objects, PageReclaim {
  readonly pages: PageReclaim | null = this.b.labelBytes > 0 ? this : null;
  readonly lengthMax = PAGE_SIZE - this.b.labelBytes;
  /** It takes whatever fits: an object of nearly a page has one to itself. A page stored raw is told by its length. */
  readonly poorBytes = Math.min(PAGE_SIZE, this.lengthMax + 1);

  alloc(handle: number, length: number): boolean {
    const { b } = this;
    const bytes = length + b.labelBytes;
    const alone = bytes > SHARED_BYTES_MAX;
    const chunks = alone ? PAGE_CHUNKS : chunksOf(bytes);
    const page = alone ? this.newPage() : this.lockedPage(chunks);
    if (page === NIL) return false;
    b.location[handle] = alone ? locationOf(page, 0, FIRST) : this.place(page, chunks, handle);
    if (alone) b.first[page] = chunks;
    if (this.pages !== null) sync.add(b.refs, page, 1);
    sync.store(b.readers, handle, 1);
    this.relink(page, true);
    sync.unlock(b.pageLock, page);
    return true;
  }

  /** Frees the object of `handle`. Nobody may have it mapped. */
  free(handle: number): void {
    const { b } = this;
    // An object is moved in its page, never to another one.
    const page = pageOf(b.location[handle]);
    sync.lock(b.pageLock, page);
    const location = b.location[handle];
    const owned = location !== 0;
    b.location[handle] = 0;
    if (owned) this.release(page, buddyOf(location));
    sync.unlock(b.pageLock, page);
    if (!owned) throw new Error(`handle ${handle} does not own an object: double free`);
  }

  /** A page with room, or a new one, locked and on no list; NIL where there is none. */
  private lockedPage(chunks: number): number {
    const { b } = this;
    sync.lock(b.lock, 0);
    for (let list = chunks; list < LISTS; list++) {
      const page = b.heads[list];
      if (page === NIL || !sync.tryLock(b.pageLock, page)) continue;
      unlink(b, page);
      sync.unlock(b.lock, 0);
      return page;
    }
    sync.unlock(b.lock, 0);
    return this.newPage();
  }

  private newPage(): number {
    const { b } = this;
    const page = takePage(b);
    if (page === NIL) return NIL;
    sync.lock(b.pageLock, page);
    sync.lock(b.lock, 0);
    b.list[page] = NO_LIST;
    sync.unlock(b.lock, 0);
    return page;
  }

  /** Gives an object a place in a page that has room, in the order in which the kernel looks. Returns its location. */
  private place(page: number, chunks: number, handle: number): number {
    const { b } = this;
    const middle = b.middle[page];
    const start = b.startMiddle[page];
    if (b.first[page] === 0 && (middle === 0 || chunks <= start - HEADER_CHUNKS)) {
      b.first[page] = chunks;
      return locationOf(page, HEADER_CHUNKS, FIRST);
    }
    if (b.last[page] === 0) {
      b.last[page] = chunks;
      return locationOf(page, PAGE_CHUNKS - chunks, LAST);
    }
    const at = HEADER_CHUNKS + b.first[page];
    b.middle[page] = chunks;
    b.startMiddle[page] = at;
    b.middleOwner[page] = handle;
    return locationOf(page, at, MIDDLE);
  }

  /** Caller holds the page's lock. The last object takes its page with it. */
  private release(page: number, buddy: number): void {
    const { b } = this;
    if (buddy === FIRST) b.first[page] = 0;
    else if (buddy === MIDDLE) b.middle[page] = 0;
    else b.last[page] = 0;
    const empty = b.first[page] + b.middle[page] + b.last[page] === 0;
    // Without a list of pages nobody but its objects uses a page.
    if (this.pages === null ? empty : sync.add(b.refs, page, -1) === 1) this.retire(page);
    else if (this.pages === null || b.claimed[page] === 0) {
      this.closeGap(page);
      this.relink(page, false);
    }
  }

  /** Nobody uses the page any more. Caller holds its lock. */
  private retire(page: number): void {
    const { b } = this;
    sync.lock(b.lock, 0);
    if (b.list[page] !== NO_LIST) unlink(b, page);
    if (this.pages !== null && b.aged[page] === 1) ageOff(b, page);
    sync.unlock(b.lock, 0);
    retirePage(b, page);
  }

  /** Puts the page on the list for what it has room for now; `stored`: it is the newest. Caller holds its lock. */
  private relink(page: number, stored: boolean): void {
    const { b } = this;
    const room = roomBesideMiddle(b, page);
    sync.lock(b.lock, 0);
    if (b.list[page] !== NO_LIST) unlink(b, page);
    link(b, page, room);
    if (stored && this.pages !== null) ageNewest(b, page);
    sync.unlock(b.lock, 0);
  }

  /** z3fold_reclaim_page. */
  reclaimPage<T>(
    tries: number,
    early: boolean,
    evict: (context: T, place: number) => boolean,
    context: T,
  ): ReclaimResult {
    const { b } = this;
    for (let i = 0; i < tries; i++) {
      const page = this.claim(early);
      if (page === NIL) return i === 0 ? RECLAIM.NONE : RECLAIM.AGAIN;
      const [first, middle, last] = this.placesIn(page);
      // In the order of the kernel, until one stays.
      if ((middle === 0 || evict(context, middle)) && (first === 0 || evict(context, first)) && last !== 0) {
        evict(context, last);
      }
      sync.lock(b.pageLock, page);
      b.claimed[page] = 0;
      const freed = sync.add(b.refs, page, -1) === 1;
      if (freed) this.retire(page);
      else this.relink(page, true);
      sync.unlock(b.pageLock, page);
      if (freed) return RECLAIM.FREED;
    }
    return RECLAIM.AGAIN;
  }

  /** The oldest page that nobody has locked or claimed, referenced, claimed, locked and on no list; NIL where there is none. */
  private claim(early: boolean): number {
    const { b } = this;
    sync.lock(b.lock, 0);
    let page = oldestPage(b);
    for (let looked = 0; page !== NIL; looked++, page = b.newer[page]) {
      if (looked === LOOK_MAX) page = NIL;
      if (page === NIL || this.tryClaim(page, early)) break;
    }
    if (page !== NIL) {
      ageOff(b, page);
      if (b.list[page] !== NO_LIST) unlink(b, page);
    }
    sync.unlock(b.lock, 0);
    return page;
  }

  /** Caller holds the pool's lock. */
  private tryClaim(page: number, early: boolean): boolean {
    const { b } = this;
    if (early && !this.addRef(page)) return false;
    if (!sync.tryLock(b.pageLock, page)) {
      if (early && sync.add(b.refs, page, -1) === 1) this.retire(page);
      return false;
    }
    // On the list, so nobody else has claimed it.
    if (!early) sync.add(b.refs, page, 1);
    b.claimed[page] = 1;
    return true;
  }

  /** kref_get_unless_zero. */
  private addRef(page: number): boolean {
    const { refs } = this.b;
    for (;;) {
      const seen = sync.load(refs, page);
      if (seen === 0) return false;
      if (sync.cas(refs, page, seen, seen + 1) === seen) return true;
    }
  }

  /** Where the objects of a page are: first, middle, last, 0 for none. Drops its lock; whoever frees one takes its chunks away. */
  private placesIn(page: number): [number, number, number] {
    const { b } = this;
    const [first, middle, last] = [b.first[page], b.middle[page], b.last[page]];
    const start = first === PAGE_CHUNKS ? 0 : HEADER_CHUNKS;
    const places: [number, number, number] = [
      first === 0 ? 0 : locationOf(page, start, FIRST),
      middle === 0 ? 0 : locationOf(page, b.startMiddle[page], MIDDLE),
      last === 0 ? 0 : locationOf(page, PAGE_CHUNKS - last, LAST),
    ];
    sync.unlock(b.pageLock, page);
    return places;
  }

  protected override placeByChunks(place: number): number {
    const { b } = this;
    const page = pageOf(place);
    sync.lock(b.pageLock, page);
    const chunk = buddyOf(place) === LAST ? PAGE_CHUNKS - b.last[page] : chunkOf(place);
    sync.unlock(b.pageLock, page);
    return locationOf(page, chunk, buddyOf(place));
  }

  /** z3fold_compact_page: the middle object goes to a neighbour, or becomes the first one where it is alone. */
  private closeGap(page: number): void {
    const { b } = this;
    const [first, middle, last, start] = [b.first[page], b.middle[page], b.last[page], b.startMiddle[page]];
    if (middle === 0) return;
    if (first === 0 && last === 0) {
      if (!this.moveMiddle(page, HEADER_CHUNKS, FIRST)) return;
      b.first[page] = middle;
      b.middle[page] = 0;
    } else if (last === 0 && start - (HEADER_CHUNKS + first) >= BIG_GAP) {
      this.moveMiddle(page, HEADER_CHUNKS + first, MIDDLE);
    } else if (first === 0 && PAGE_CHUNKS - (start + middle + last) >= BIG_GAP) {
      this.moveMiddle(page, PAGE_CHUNKS - last - middle, MIDDLE);
    }
  }

  /** False where somebody looks at the object: it stays, and the next one who frees in the page tries again. */
  private moveMiddle(page: number, to: number, buddy: number): boolean {
    const { b } = this;
    const handle = b.middleOwner[page];
    if (sync.cas(b.readers, handle, 0, MOVING) !== 0) return false;
    const segment = this.segment(handle);
    const [at, from] = [this.address(page), b.startMiddle[page]];
    const source = at + from * CHUNK_BYTES;
    segment.copyWithin(at + to * CHUNK_BYTES, source, source + b.middle[page] * CHUNK_BYTES);
    b.startMiddle[page] = to;
    b.location[handle] = locationOf(page, to, buddy);
    sync.store(b.readers, handle, 0);
    sync.notify(b.readers, handle);
    return true;
  }
}
