/**
 * The allocator z3fold, after mm/z3fold.c (4.8 to 6.14): as zbud, with a third object in the middle of a page. The middle
 * one is moved towards a neighbour when the gap is worth it, by whoever frees an object of the page; and an object that is
 * too large to share a page has one to itself, without the header chunk.
 *
 * Locks: a page's lock has what is in it, the pool's lock has the lists. Either may be wanted by who has the other:
 *   page lock -> pool lock   alloc and free, which know their page
 *   pool lock -> page lock   alloc, which looks for a page; it only tries, and goes on to the next list if another has it
 * Who has a page's lock and found it on a list takes it off there, so nobody else finds it; the last object takes it away.
 * Moving: `readers` of the middle object goes 0 -> MOVING first, as in compaction.ts, so nothing moves that is looked at.
 */
import * as sync from '../../shm/sync.ts';
import { PAGE_SIZE } from '../limits.ts';
import type { Objects } from './allocator.ts';
import {
  type Buddies,
  BuddyPages,
  buddyOf,
  CHUNK_BYTES,
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
  OBJECT_CHUNKS,
  PAGE_CHUNKS,
  pageOf,
  SHARED_BYTES_MAX,
  unlink,
} from './buddies.ts';
import { NIL, retirePage, takePage } from './stock.ts';

/** Moving costs a copy, so a gap beside the middle object has to be worth it: BIG_CHUNK_GAP of the kernel. */
const BIG_GAP = 3;

export class Z3fold extends BuddyPages implements Objects {
  readonly lengthMax = PAGE_SIZE;
  /** It takes whatever fits: an object of nearly a page has one to itself. A page stored raw is told by its length. */
  readonly poorBytes = PAGE_SIZE;

  alloc(handle: number, length: number): boolean {
    const { b } = this;
    const alone = length > SHARED_BYTES_MAX;
    const chunks = alone ? PAGE_CHUNKS : chunksOf(length);
    const page = alone ? this.newPage() : this.lockedPage(chunks);
    if (page === NIL) return false;
    b.location[handle] = alone ? locationOf(page, 0, FIRST) : this.place(page, chunks, handle);
    if (alone) b.first[page] = chunks;
    sync.store(b.readers, handle, 1);
    this.relink(page);
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
    if (b.first[page] + b.middle[page] + b.last[page] === 0) {
      sync.lock(b.lock, 0);
      unlink(b, page);
      sync.unlock(b.lock, 0);
      retirePage(b, page);
      return;
    }
    this.closeGap(page);
    this.relink(page);
  }

  /** Puts the page on the list for what it has room for now. Caller holds its lock. */
  private relink(page: number): void {
    const { b } = this;
    const room = roomOf(b, page);
    sync.lock(b.lock, 0);
    if (b.list[page] !== NO_LIST) unlink(b, page);
    link(b, page, room);
    sync.unlock(b.lock, 0);
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

/** Chunks that an object more may have: beside a middle one, the larger of the gaps that are free of a neighbour. */
function roomOf(b: Buddies, page: number): number {
  const [first, middle, last, start] = [b.first[page], b.middle[page], b.last[page], b.startMiddle[page]];
  if (middle === 0) return Math.max(0, OBJECT_CHUNKS - first - last);
  const before = first === 0 ? start - HEADER_CHUNKS : 0;
  const after = last === 0 ? PAGE_CHUNKS - (start + middle) : 0;
  return Math.max(before, after);
}
