/**
 * What zbud and z3fold have in common: pages of 4 KiB with few objects in each, cut into 64 chunks of 64 bytes.
 *
 *   chunk 0        1 ...                                                ... 63
 *         [header][FIRST, from the left ..][MIDDLE (z3fold) ..][.. LAST, to the right]
 *
 * The first chunk is where those kernels kept what is known of a page. Here columns have that, and the chunk stays empty, so
 * that a page holds what it held there. A handle is the entry's index; `location[handle]` says where its object is:
 * page * 256 + first chunk * 4 + buddy, never 0, and 0 when the handle owns no object.
 *
 * A page with room for one object more is on the list for as many chunks as that may have; one without is on list 0. All
 * lists belong to the pool's lock. Which lock the objects of a page belong to, each allocator says.
 */
import { assert } from '../../shm/assert.ts';
import { float64, int32, uint8, uint32 } from '../../shm/columns.ts';
import * as sync from '../../shm/sync.ts';
import { PAGE_SIZE } from '../limits.ts';
import type { Release } from './allocator.ts';
import { createSegments, emptyStock, NIL, SEGMENT_BYTES, STOCK_WORDS, type Stock, trimPages } from './stock.ts';

export const CHUNK_BYTES = 64;
export const PAGE_CHUNKS = PAGE_SIZE / CHUNK_BYTES;
export const HEADER_CHUNKS = 1;
/** NCHUNKS of the kernel: what objects may have of a page with a header. */
export const OBJECT_CHUNKS = PAGE_CHUNKS - HEADER_CHUNKS;
/** Of a page that two objects can share: each may have all but the header and a chunk. */
export const SHARED_BYTES_MAX = PAGE_SIZE - (HEADER_CHUNKS + 1) * CHUNK_BYTES;

/** Where an object is in its page, as the kernel's enum buddy has it. One that has its page to itself is FIRST, from chunk 0 on. */
export const FIRST = 1;
export const MIDDLE = 2;
export const LAST = 3;
const PAGE_STEP = PAGE_CHUNKS * 4;
/** Where an object is is kept in 32 bits: 64 GiB of pool. */
export const BUDDY_PAGES_MAX = 2 ** 32 / PAGE_STEP;
assert(LAST < 4, 'a buddy is told in two bits');

const PAGES_PER_SEGMENT = SEGMENT_BYTES / PAGE_SIZE;
/** struct zswap_header of the kernel: which swap device, and which slot of it. */
const LABEL_BYTES = 8;
/** readers[] of an object that is being moved in its page. */
export const MOVING = -1;
/** `list` of a page that is on none. */
export const NO_LIST = 255;
/** Lists by the chunks that one object more may have; on list 0 are pages that take no other. */
export const LISTS = PAGE_CHUNKS;

export interface Buddies extends Stock {
  readonly kind: 'zbud' | 'z3fold';
  readonly location: Uint32Array;
  readonly readers: Int32Array;
  /** Columns per page: chunks of each buddy, 0 for none. MIDDLE is z3fold's alone: chunks, first chunk, and handle. */
  readonly first: Uint8Array;
  readonly middle: Uint8Array;
  readonly last: Uint8Array;
  readonly startMiddle: Uint8Array;
  readonly middleOwner: Uint32Array;
  /** Columns per page: which list it is on, and its place there. */
  readonly list: Uint8Array;
  readonly prev: Int32Array;
  /** With a list of pages: whether a page is on it, and its neighbours there; `ages` has the newest and the oldest. */
  readonly aged: Uint8Array;
  readonly newer: Int32Array;
  readonly older: Int32Array;
  readonly ages: Int32Array;
  /** 1 while a page is being reclaimed: whoever frees in it leaves it where it is. And z3fold's counts of who uses a page. */
  readonly claimed: Uint8Array;
  readonly refs: Int32Array;
  /** Bytes of an object in front of its content: its label, or nothing. And the segments in words, if they have labels. */
  readonly labelBytes: number;
  readonly words: readonly Int32Array[];
  /** By list: its first page; and how often a page has left one (pieces.ts). */
  readonly heads: Int32Array;
  readonly unlinked: Float64Array;
  /** The pool's lock, and z3fold's locks of pages. */
  readonly lock: Int32Array;
  readonly pageLock: Int32Array;
}

/** Reserves `bytes` (rounded up to a page) of pool and tables for `handles` handles; `listed`: with a list of pages. */
export function createBuddies(kind: Buddies['kind'], bytes: number, handles: number, listed = false): Buddies {
  const pages = Math.ceil(bytes / PAGE_SIZE);
  // Beyond that locations would wrap, and one page would read as another.
  if (pages > BUDDY_PAGES_MAX) throw new Error(`a pool of ${pages} pages, allowed: at most ${BUDDY_PAGES_MAX}`);
  const withMiddle = kind === 'z3fold' ? pages : 0;
  const withAge = listed ? pages : 0;
  const segments = createSegments(pages * PAGE_SIZE);
  return {
    kind,
    segments,
    pages,
    pageBytes: PAGE_SIZE,
    next: int32(pages),
    control: emptyStock(int32(STOCK_WORDS)),
    location: uint32(handles),
    readers: int32(handles),
    first: uint8(pages),
    middle: uint8(withMiddle),
    last: uint8(pages),
    startMiddle: uint8(withMiddle),
    middleOwner: uint32(withMiddle),
    list: uint8(pages),
    prev: int32(pages),
    aged: uint8(withAge),
    newer: int32(withAge),
    older: int32(withAge),
    ages: int32(2).fill(NIL),
    claimed: uint8(withAge),
    refs: int32(listed ? withMiddle : 0),
    labelBytes: listed ? LABEL_BYTES : 0,
    words: listed ? segments.map(({ buffer, length }) => new Int32Array(buffer, 0, length / 4)) : [],
    heads: int32(LISTS).fill(NIL),
    unlinked: float64(1),
    lock: int32(1),
    pageLock: int32(withMiddle),
  };
}

/** Bytes of columns per page in use: what both have, what z3fold has besides, and what a list of pages adds. */
export function pageMetaBytes({ kind, labelBytes }: Buddies): number {
  const common = 3 * 1 + 2 * 4;
  const middle = kind === 'z3fold' ? 2 * 1 + 2 * 4 : 0;
  const aged = labelBytes === 0 ? 0 : 2 * 1 + 2 * 4 + (kind === 'z3fold' ? 4 : 0);
  return common + middle + aged;
}

export function chunksOf(bytes: number): number {
  return Math.ceil(bytes / CHUNK_BYTES);
}

export function locationOf(page: number, chunk: number, buddy: number): number {
  return page * PAGE_STEP + chunk * 4 + buddy;
}

export function pageOf(location: number): number {
  return Math.floor(location / PAGE_STEP);
}

export function chunkOf(location: number): number {
  return (location >>> 2) % PAGE_CHUNKS;
}

export function buddyOf(location: number): number {
  return location & 3;
}

/** A page that has room for `chunks` on its list, the fullest first; NIL where there is none. Caller holds the pool's lock. */
export function pageWithRoom({ heads }: Buddies, chunks: number): number {
  for (let list = chunks; list < LISTS; list++) if (heads[list] !== NIL) return heads[list];
  return NIL;
}

/** Chunks that an object more may have: beside a middle one, the larger of the gaps that are free of a neighbour. */
export function roomBesideMiddle(b: Buddies, page: number): number {
  const [first, middle, last, start] = [b.first[page], b.middle[page], b.last[page], b.startMiddle[page]];
  if (middle === 0) return Math.max(0, OBJECT_CHUNKS - first - last);
  const before = first === 0 ? start - HEADER_CHUNKS : 0;
  const after = last === 0 ? PAGE_CHUNKS - (start + middle) : 0;
  return Math.max(before, after);
}

/** Puts a page on a list. Caller holds the pool's lock, and the page is on none. */
export function link(b: Buddies, page: number, list: number): void {
  const head = b.heads[list];
  b.list[page] = list;
  b.prev[page] = NIL;
  b.next[page] = head;
  if (head !== NIL) b.prev[head] = page;
  b.heads[list] = page;
}

/** Takes a page off its list. Caller holds the pool's lock. */
export function unlink(b: Buddies, page: number): void {
  const [before, after] = [b.prev[page], b.next[page]];
  if (before === NIL) b.heads[b.list[page]] = after;
  else b.next[before] = after;
  if (after !== NIL) b.prev[after] = before;
  b.list[page] = NO_LIST;
  b.unlinked[0]++;
}

/** Where the label of an object is in its segment, in words. */
function labelAt(place: number): number {
  return ((pageOf(place) % PAGES_PER_SEGMENT) * PAGE_SIZE + chunkOf(place) * CHUNK_BYTES) / 4;
}

const NEWEST = 0;
const OLDEST = 1;

/** Makes a page the newest of the list. Caller holds the pool's lock. */
export function ageNewest(b: Buddies, page: number): void {
  if (b.aged[page] === 1) ageOff(b, page);
  const newest = b.ages[NEWEST];
  b.newer[page] = NIL;
  b.older[page] = newest;
  if (newest === NIL) b.ages[OLDEST] = page;
  else b.newer[newest] = page;
  b.ages[NEWEST] = page;
  b.aged[page] = 1;
}

/** Takes a page off the list. Caller holds the pool's lock. */
export function ageOff(b: Buddies, page: number): void {
  const [newer, older] = [b.newer[page], b.older[page]];
  if (newer === NIL) b.ages[NEWEST] = older;
  else b.older[newer] = older;
  if (older === NIL) b.ages[OLDEST] = newer;
  else b.newer[older] = newer;
  b.aged[page] = 0;
}

export function oldestPage({ ages }: Buddies): number {
  return ages[OLDEST];
}

/** A thread's way to pages of buddies: what does not depend on how objects share a page. */
export class BuddyPages {
  readonly b: Buddies;
  labelX = 0;
  labelSlot = 0;

  constructor(memory: Buddies) {
    this.b = memory;
  }

  /**
   * A label may be read while it is written: an object is on the list of pages before it has one. The kernel's is one word,
   * so nothing comes between our two; what was there before names any slot, and whoever reads it looks there and believes
   * what is stored there, if anything is.
   */
  label(handle: number, x: number, slot: number): void {
    const location = this.b.location[handle];
    const words = this.labelWords(location);
    const at = labelAt(location);
    sync.store(words, at, slot);
    words[at + 1] = x;
  }

  readLabel(place: number, byChunks: boolean): void {
    const now = byChunks ? this.placeByChunks(place) : place;
    if (chunkOf(now) === 0 && pageOf(now) !== pageOf(place)) {
      sync.violation('use after free', 'the label of an object that was freed is read behind the end of its page');
    }
    const words = this.labelWords(place);
    const at = labelAt(now);
    this.labelSlot = sync.load(words, at) >>> 0;
    this.labelX = words[at + 1] >>> 0;
  }

  /** Where an object is, as told by what its page says of it now. */
  protected placeByChunks(place: number): number {
    return place;
  }

  private labelWords(place: number): Int32Array {
    return this.b.words[Math.floor(pageOf(place) / PAGES_PER_SEGMENT)];
  }

  /** Pins the object's address. Waits only while this very object is moved. */
  map(handle: number): void {
    const { readers } = this.b;
    for (;;) {
      const seen = sync.load(readers, handle);
      if (seen === MOVING) sync.retry(readers, handle, MOVING);
      else if (sync.cas(readers, handle, seen, seen + 1) === seen) return;
    }
  }

  unmap(handle: number): void {
    assert(sync.add(this.b.readers, handle, -1) > 0, 'an object is unmapped as often as it was mapped');
  }

  /** The segment of a mapped object. */
  segment(handle: number): Uint8Array {
    return this.b.segments[Math.floor(pageOf(this.b.location[handle]) / PAGES_PER_SEGMENT)];
  }

  /** Where the content of a mapped object starts in its segment, in bytes. */
  offset(handle: number): number {
    const location = this.b.location[handle];
    return this.address(pageOf(location)) + chunkOf(location) * CHUNK_BYTES + this.b.labelBytes;
  }

  /** Where a page starts in its segment. */
  protected address(page: number): number {
    return (page % PAGES_PER_SEGMENT) * PAGE_SIZE;
  }

  /** Objects that leave a gap are closed up by whoever frees their neighbour; no page is won by moving one to another. */
  compact(): number {
    return 0;
  }

  /** As trimPages. */
  trim(keepBytes: number, most: number, release: Release): number {
    return trimPages(this.b, keepBytes, most, release);
  }
}
