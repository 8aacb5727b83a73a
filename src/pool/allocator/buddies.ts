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
  /** By list: its first page; and how often a page has left one (pieces.ts). */
  readonly heads: Int32Array;
  readonly unlinked: Float64Array;
  /** The pool's lock, and z3fold's locks of pages. */
  readonly lock: Int32Array;
  readonly pageLock: Int32Array;
}

/** Reserves `bytes` (rounded up to a page) of pool and tables for `handles` handles. */
export function createBuddies(kind: Buddies['kind'], bytes: number, handles: number): Buddies {
  const pages = Math.ceil(bytes / PAGE_SIZE);
  // Beyond that locations would wrap, and one page would read as another.
  if (pages > BUDDY_PAGES_MAX) throw new Error(`a pool of ${pages} pages, allowed: at most ${BUDDY_PAGES_MAX}`);
  const withMiddle = kind === 'z3fold' ? pages : 0;
  return {
    kind,
    segments: createSegments(pages * PAGE_SIZE),
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
    heads: int32(LISTS).fill(NIL),
    unlinked: float64(1),
    lock: int32(1),
    pageLock: int32(withMiddle),
  };
}

/** Bytes of columns per page: what both have, and what z3fold has besides. */
export const PAGE_META_BYTES = 3 * 1 + 2 * 4;
export const MIDDLE_META_BYTES = 2 * 1 + 2 * 4;

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

/** A thread's way to pages of buddies: what does not depend on how objects share a page. */
export class BuddyPages {
  readonly b: Buddies;

  constructor(memory: Buddies) {
    this.b = memory;
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
    return this.address(pageOf(location)) + chunkOf(location) * CHUNK_BYTES;
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
