/**
 * The contract of an allocator of compressed objects. An object belongs to a handle, which is the index of its entry; where
 * it lies is the allocator's matter, and may change while nobody looks at it. Only this folder knows an allocator's columns.
 *
 *   of the shared memory
 *   create        reserves room for so many bytes, and tables for so many handles; takes effect on memory when used
 *   open          one thread's way to it
 *   total         bytes of pool in use, whole pages of the allocator, what limits are held against (pool_total_size)
 *   idle          bytes that are free, and still memory of this process
 *   metadata      bytes of tables in use
 *   usage         what is linked and how many objects that is, walked in pieces; null where it changed meanwhile
 *   mapped        whether somebody looks at a handle's object
 *   objects       objects in use, at a moment at which nothing is under way
 *   owns          whether the handle has an object of so many bytes where it says, at such a moment
 *   footprint     bytes of a page that an object of so many bytes takes
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

export interface Objects {
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
  /** It takes a page that is stored raw. */
  readonly holdsRaw: boolean;
  /** Bytes of its tables for one handle, in use or not. */
  readonly handleBytes: number;
  create(bytes: number, handles: number): M;
  open(memory: M): Objects;
  total(memory: M): number;
  idle(memory: M): number;
  metadata(memory: M): number;
  usage(memory: M, piece: Int32Array): AllocatorUsage | null;
  mapped(memory: M, handle: number): boolean;
  objects(memory: M): number;
  owns(memory: M, handle: number, length: number): boolean;
  footprint(length: number): number;
  locks(memory: M): readonly { readonly words: Int32Array; readonly name: string }[];
  owned(memory: M): readonly OwnedColumns[];
}
