/**
 * Size classes of the allocator, computed once from two numbers as zsmalloc does.
 *
 * A zspage is 64 KiB in one piece, so an object never straddles a boundary and a codec can work on it in place. Sizes
 * step by 16 bytes; sizes that give the same number of objects per zspage are merged into the largest of them, which
 * leaves next to no tail in a zspage. A raw page (4096 bytes and its header) is the largest object.
 */
import { assert } from '../../shm/assert.ts';
import { PAGE_SIZE } from '../limits.ts';

export const ZSPAGE_BYTES = 65536;
/** Bytes of content of the largest object: a page that is stored raw. */
export const OBJECT_BYTES_MAX = PAGE_SIZE;
/** Objects of at least this many bytes gain nothing: their size class would hold a raw page as well. */
export const POOR_BYTES = 3840;
/** In front of each object: its handle when allocated, the link of the free list when not. */
export const OBJECT_HEADER = 4;
const STEP = 16;
const MIN_OBJECT = 32;
const MAX_OBJECT = PAGE_SIZE + STEP;
/** Objects of a zspage fit 11 bits of a location. */
export const OBJECTS_MAX = ZSPAGE_BYTES / MIN_OBJECT;
/** Zspages of a pool at most: where an object is (zspage * OBJECTS_MAX + object) is kept in 32 bits. */
export const ZSPAGES_MAX = 2 ** 32 / OBJECTS_MAX;

interface SizeClasses {
  readonly count: number;
  /** Bytes per object, header included. */
  readonly size: Uint16Array;
  readonly objects: Uint16Array;
  /** Class of an object of n bytes (header included), at index ceil(n / 16). */
  readonly ofStep: Uint8Array;
}

function sizeClasses(): SizeClasses {
  const size: number[] = [];
  const objects: number[] = [];
  const ofStep = new Uint8Array(MAX_OBJECT / STEP + 1);
  for (let step = 1; step < ofStep.length; step++) {
    const bytes = Math.max(MIN_OBJECT, step * STEP);
    const perZspage = Math.floor(ZSPAGE_BYTES / bytes);
    const last = objects.length - 1;
    if (last >= 0 && objects[last] === perZspage) size[last] = bytes;
    else {
      size.push(bytes);
      objects.push(perZspage);
    }
    ofStep[step] = objects.length - 1;
  }
  return { count: size.length, size: Uint16Array.from(size), objects: Uint16Array.from(objects), ofStep };
}

export const CLASSES: SizeClasses = sizeClasses();
assert(POOR_BYTES < PAGE_SIZE, 'a page that does not compress is told from one that is stored raw by its length');
assert(CLASSES.count <= 256, 'a zspage names its class in a byte');
assert(OBJECTS_MAX < 2 ** 16, 'objects of a zspage are counted in two bytes');
assert(MAX_OBJECT >= PAGE_SIZE + OBJECT_HEADER, 'a raw page is an object');
assert(OBJECT_HEADER === 4 && STEP % OBJECT_HEADER === 0, 'headers are aligned words');

/** Class for `length` bytes of content. */
export function classOf(length: number): number {
  return CLASSES.ofStep[Math.ceil((length + OBJECT_HEADER) / STEP)];
}
