/**
 * The allocator of compressed objects, after mm/zsmalloc.c: size classes, zspages, handles, fullness groups.
 *
 * Memory is segments of 1 GiB; a zspage is 64 KiB of one. A handle is the entry's index; `location[handle]` says where
 * the object is (zspage * 2048 + object), and `readers[handle]` counts who looks at it right now. Compaction moves only
 * objects that nobody looks at (compaction.ts), so between map() and unmap() an address is good.
 *
 *   object: header u32 (handle << 1 | 1 when allocated, next free object + 1 << 1 when free) | content
 *
 * Lock order: class lock -> stock (the list of free zspages, stock.ts). A location changes only under its class lock.
 */
import { assert } from '../../shm/assert.ts';
import { float64, int32, uint8, uint16, uint32 } from '../../shm/columns.ts';
import * as sync from '../../shm/sync.ts';
import type { Release } from './allocator.ts';
import { CLASSES, classOf, OBJECT_HEADER, OBJECTS_MAX, ZSPAGE_BYTES, ZSPAGES_MAX } from './size_classes.ts';
import {
  createSegments,
  emptyStock,
  NIL,
  retirePage,
  SEGMENT_BYTES,
  STOCK_WORDS,
  type Stock,
  takePage,
  trimPages,
} from './stock.ts';

export const ZSPAGES_PER_SEGMENT = SEGMENT_BYTES / ZSPAGE_BYTES;
/** Fullness groups, as the kernel's zsmalloc has them: 0..9 by tenths in use, and FULL. Stores go to the fullest with room. */
export const GROUPS = 11;
export const FULL = GROUPS - 1;
/** readers[] of an object that compaction is moving. */
export const MOVING = -1;
export interface Zsmalloc extends Stock {
  readonly kind: 'zsmalloc';
  readonly location: Uint32Array;
  readonly readers: Int32Array;
  /** Columns per zspage. */
  readonly classOfZspage: Uint8Array;
  readonly inUse: Uint16Array;
  readonly freeObject: Uint16Array;
  readonly group: Uint8Array;
  readonly prev: Int32Array;
  /** Columns per class: lock, the head of each fullness group (NIL when empty), how often a zspage left one (pieces.ts). */
  readonly classLock: Int32Array;
  readonly groupHead: Int32Array;
  readonly unlinked: Float64Array;
}

/** Reserves `bytes` (rounded up to a zspage, at most ZSPAGES_MAX of them) of pool and tables for `handles` handles. */
export function createZsmalloc(bytes: number, handles: number): Zsmalloc {
  const zspages = Math.ceil(bytes / ZSPAGE_BYTES);
  // Beyond that locations would wrap, and one page would read as another.
  if (zspages > ZSPAGES_MAX) throw new Error(`a pool of ${zspages} zspages, allowed: at most ${ZSPAGES_MAX}`);
  return {
    kind: 'zsmalloc',
    segments: createSegments(zspages * ZSPAGE_BYTES),
    pages: zspages,
    pageBytes: ZSPAGE_BYTES,
    control: emptyStock(int32(STOCK_WORDS)),
    location: uint32(handles),
    readers: int32(handles),
    classOfZspage: uint8(zspages),
    inUse: uint16(zspages),
    freeObject: uint16(zspages),
    group: uint8(zspages),
    prev: int32(zspages),
    next: int32(zspages),
    classLock: int32(CLASSES.count),
    groupHead: int32(CLASSES.count * GROUPS).fill(NIL),
    unlinked: float64(CLASSES.count),
  };
}

/** Bytes of metadata per zspage: classOfZspage and group, inUse and freeObject, prev and next. */
export const ZSPAGE_META_BYTES = 2 * 1 + 2 * 2 + 2 * 4;
/** And per handle: location and readers. */
export const HANDLE_BYTES = 2 * 4;

/** Views that one thread uses on the shared segments; typed arrays can't be wider than a segment. */
export class Zspool {
  readonly z: Zsmalloc;
  private readonly words: Uint32Array[];

  constructor(z: Zsmalloc) {
    this.z = z;
    this.words = z.segments.map((s) => new Uint32Array(s.buffer, 0, s.length / 4));
  }

  /**
   * Gives `handle` an object of `length` bytes and maps it: the caller copies the content in, then unmaps.
   * False when no zspage is left; nothing is changed then.
   */
  alloc(handle: number, length: number): boolean {
    const { z } = this;
    const c = classOf(length);
    sync.lock(z.classLock, c);
    let page = NIL;
    for (let g = FULL - 1; g >= 0 && page === NIL; g--) page = z.groupHead[c * GROUPS + g];
    if (page === NIL) page = this.newZspage(c);
    if (page === NIL) {
      sync.unlock(z.classLock, c);
      return false;
    }
    const object = this.takeObject(page, handle);
    z.location[handle] = page * OBJECTS_MAX + object;
    sync.store(z.readers, handle, 1);
    sync.unlock(z.classLock, c);
    return true;
  }

  /** Frees the object of `handle`, whose content has `length` bytes. Nobody may have it mapped. */
  free(handle: number, length: number): void {
    const { z } = this;
    const c = classOf(length);
    sync.lock(z.classLock, c);
    const location = z.location[handle];
    const page = Math.floor(location / OBJECTS_MAX);
    const object = location % OBJECTS_MAX;
    const allocated = this.header(page, object) === ((handle << 1) | 1) >>> 0;
    if (allocated) this.releaseObject(page, object);
    sync.unlock(z.classLock, c);
    if (!allocated) throw new Error(`handle ${handle} does not own object ${page}.${object}: double free`);
  }

  /** Pins the object's address. Waits only while compaction copies this very object. */
  map(handle: number): void {
    const { readers } = this.z;
    for (;;) {
      const seen = sync.load(readers, handle);
      if (seen === MOVING) sync.retry(readers, handle, MOVING);
      else if (sync.cas(readers, handle, seen, seen + 1) === seen) return;
    }
  }

  unmap(handle: number): void {
    assert(sync.add(this.z.readers, handle, -1) > 0, 'an object is unmapped as often as it was mapped');
  }

  /** The segment of a mapped object. */
  segment(handle: number): Uint8Array {
    return this.z.segments[Math.floor(this.z.location[handle] / OBJECTS_MAX / ZSPAGES_PER_SEGMENT)];
  }

  /** Where the content of a mapped object starts in its segment, in bytes. */
  offset(handle: number): number {
    const location = this.z.location[handle];
    return this.address(Math.floor(location / OBJECTS_MAX), location % OBJECTS_MAX) + OBJECT_HEADER;
  }

  address(page: number, object: number): number {
    return (page % ZSPAGES_PER_SEGMENT) * ZSPAGE_BYTES + object * CLASSES.size[this.z.classOfZspage[page]];
  }

  header(page: number, object: number): number {
    return this.words[Math.floor(page / ZSPAGES_PER_SEGMENT)][this.address(page, object) >>> 2];
  }

  setHeader(page: number, object: number, value: number): void {
    this.words[Math.floor(page / ZSPAGES_PER_SEGMENT)][this.address(page, object) >>> 2] = value;
  }

  /** Caller holds the class lock; the zspage has a free object. */
  takeObject(page: number, handle: number): number {
    const { z } = this;
    const object = z.freeObject[page] - 1;
    assert(object >= 0, 'a zspage that is not full has a free object');
    z.freeObject[page] = this.header(page, object) >>> 1;
    this.setHeader(page, object, ((handle << 1) | 1) >>> 0);
    z.inUse[page]++;
    this.regroup(page);
    return object;
  }

  /** Caller holds the class lock. The last object takes its zspage with it. */
  releaseObject(page: number, object: number): void {
    const { z } = this;
    this.setHeader(page, object, z.freeObject[page] << 1);
    z.freeObject[page] = object + 1;
    assert(z.inUse[page] > 0, 'an object is freed in a zspage that has one');
    z.inUse[page]--;
    if (z.inUse[page] > 0) this.regroup(page);
    else {
      this.unlink(page);
      retirePage(z, page);
    }
  }

  private regroup(page: number): void {
    const { z } = this;
    const objects = CLASSES.objects[z.classOfZspage[page]];
    const group = z.inUse[page] === objects ? FULL : Math.floor((z.inUse[page] * (GROUPS - 1)) / objects);
    if (group === z.group[page]) return;
    this.unlink(page);
    z.group[page] = group;
    this.link(page);
  }

  private link(page: number): void {
    const { z } = this;
    const at = z.classOfZspage[page] * GROUPS + z.group[page];
    const first = z.groupHead[at];
    z.prev[page] = NIL;
    z.next[page] = first;
    if (first !== NIL) z.prev[first] = page;
    z.groupHead[at] = page;
  }

  private unlink(page: number): void {
    const { z } = this;
    if (z.prev[page] === NIL) z.groupHead[z.classOfZspage[page] * GROUPS + z.group[page]] = z.next[page];
    else z.next[z.prev[page]] = z.next[page];
    if (z.next[page] !== NIL) z.prev[z.next[page]] = z.prev[page];
    z.unlinked[z.classOfZspage[page]]++;
  }

  /** A zspage for class `c`, linked and all free. Memory that is still resident is used first. */
  private newZspage(c: number): number {
    const { z } = this;
    const page = takePage(z);
    if (page === NIL) return NIL;
    z.classOfZspage[page] = c;
    z.inUse[page] = 0;
    z.freeObject[page] = 1;
    const objects = CLASSES.objects[c];
    for (let i = 0; i < objects; i++) this.setHeader(page, i, i + 1 < objects ? (i + 2) << 1 : 0);
    z.group[page] = 0;
    this.link(page);
    return page;
  }

  /** As trimPages. */
  trim(keepBytes: number, most: number, release: Release): number {
    return trimPages(this.z, keepBytes, most, release);
  }
}
