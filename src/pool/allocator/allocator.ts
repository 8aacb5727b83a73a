/**
 * The contract of an allocator of compressed objects. An object belongs to a handle, which is the index of its entry; where
 * it lies is the allocator's matter, and may change while nobody looks at it. Only this folder knows an allocator's columns.
 *
 *   of the shared memory
 *   create        reserves room for so many bytes, and tables for so many handles; takes effect on memory when used; `listed`:
 *                 with a list of pages of its own, in the order in which they were stored to, and labels of objects
 *   open          one thread's way to it
 *   total         bytes of pool in use, whole pages of the allocator, what limits are held against (pool_total_size)
 *   idle          bytes that are free, and still memory of this process
 *   pages         pages of the allocator in use
 *   metadata      bytes of tables in use, by pages in use and as many handles
 *   usage         what is linked and how many objects that is, walked in pieces; null where it changed meanwhile
 *   mapped        whether somebody looks at a handle's object
 *   objects       objects in use, at a moment at which nothing is under way
 *   owns          whether the handle has an object of so many bytes where it says, at such a moment
 *   strays        pages with objects that reclaim by pages can't find, or that somebody has claimed, at such a moment
 *   footprint     bytes of a page that the object of a handle takes, with so many bytes
 *   locks         its lock words, by the name that a report shows
 *   owned         its plain columns, and the lock that each element belongs to, for whoever checks plain accesses
 *
 *   of one thread               locks, waiting
 *   alloc         leaves the object mapped, for its content to be copied in; false: no room, and nothing changed
 *   free          nobody may have it mapped; throws where the handle owns no object: a double free
 *   map, unmap    in between, segment and offset are good; map waits only while this very object is moved
 *   compact       moves objects until so many pages are free, or none is worth it; only tries locks
 *   trim          gives memory of free pages back, beyond what is to be kept, of so many pages at most
 *
 * Locks of an allocator are taken last, after the LRU's; none is held when an operation returns.
 */

export interface AllocatorUsage {
  /** Pages of the allocator on its lists. */
  readonly linked: number;
  /** Objects in them. */
  readonly objects: number;
}

/** Plain columns, and the lock words of which one has to be held by whoever touches element `i`. */
export interface OwnedColumns {
  readonly columns: readonly string[];
  locksOf(i: number): readonly { readonly words: Int32Array; readonly index: number }[];
}

/** What became of a page that was to be reclaimed: its memory is free; it was tried, and others; there is none. */
export const RECLAIM = { FREED: 0, AGAIN: 1, NONE: 2 } as const;
export type ReclaimResult = (typeof RECLAIM)[keyof typeof RECLAIM];

/**
 * Reclaim by pages, of an allocator that keeps a list of its own. Whoever stores an object labels it with its slot, because
 * reclaim knows nothing of entries: it takes the page that was stored to longest ago off every list, has its objects evicted
 * by their places, and frees it if it is empty then. It holds nothing while it evicts, so an object may be freed, and its
 * label outlives it for as long as the page is being reclaimed.
 */
export interface PageReclaim {
  /** What the last label that was read says. */
  readonly labelX: number;
  readonly labelSlot: number;
  /** Of a mapped object. */
  label(handle: number, x: number, slot: number): void;
  /** `byChunks`: the place of the object is told by how many chunks it has now, and not by its handle (z3fold before 4.20). */
  readLabel(place: number, byChunks: boolean): void;
  /**
   * Tries up to `tries` pages. `evict` answers whether what was at the place has gone. `early`: a page is referenced before it
   * is locked (z3fold of 5.11 to 5.18).
   */
  reclaimPage<T>(
    tries: number,
    early: boolean,
    evict: (context: T, place: number) => boolean,
    context: T,
  ): ReclaimResult;
}

export interface Objects {
  /** Null where the pool has no list of pages. */
  readonly pages: PageReclaim | null;
  /** Bytes of content that an object can have; who has more is not to ask. */
  readonly lengthMax: number;
  /** Compressed pages of so many bytes or more gain nothing here, or don't fit: reject_compress_poor. */
  readonly poorBytes: number;
  /** `length`: bytes of content, 1 to lengthMax. */
  alloc(handle: number, length: number): boolean;
  /** `length` as in alloc. */
  free(handle: number, length: number): void;
  map(handle: number): void;
  unmap(handle: number): void;
  /** The memory that a mapped object is in, and where its content starts there, in bytes. */
  segment(handle: number): Uint8Array;
  offset(handle: number): number;
  /** Returns how many pages it freed. */
  compact(pagesMax: number): number;
  /** `release` is madvise(MADV_DONTNEED). Returns how many pages were given back. */
  trim(keepBytes: number, pagesMax: number, release: Release): number;
}

export type Release = (segment: Uint8Array, offset: number, bytes: number) => void;

/** `M`: its shared memory, which survives postMessage. */
export interface Allocator<M> {
  readonly name: string;
  /** What the option reference says about it. */
  readonly about: string;
  /** Bytes of one of its pages: what limits count in. */
  readonly pageBytes: number;
  /** Bytes of the largest pool. */
  readonly bytesMax: number;
  /** Pages that are stored raw in one of its pages, 0 if it takes none; with a list of pages there is no room for one beside its label. */
  readonly rawPerPage: number;
  /** It can have a list of pages. */
  readonly lists: boolean;
  create(bytes: number, handles: number, listed?: boolean): M;
  open(memory: M): Objects;
  total(memory: M): number;
  idle(memory: M): number;
  pages(memory: M): number;
  metadata(memory: M, handles: number): number;
  usage(memory: M, piece: Int32Array): AllocatorUsage | null;
  mapped(memory: M, handle: number): boolean;
  objects(memory: M): number;
  strays(memory: M): number;
  owns(memory: M, handle: number, length: number): boolean;
  footprint(memory: M, handle: number, length: number): number;
  locks(memory: M): readonly { readonly words: Int32Array; readonly name: string }[];
  owned(memory: M): readonly OwnedColumns[];
}
