/** zsmalloc by the contract of allocators. */
import { eachLinked, stampOf } from '../pieces.ts';
import type { Allocator, AllocatorUsage, Objects } from './allocator.ts';
import { compact } from './compaction.ts';
import {
  CLASSES,
  classOf,
  OBJECT_BYTES_MAX,
  OBJECT_HEADER,
  OBJECTS_MAX,
  POOR_BYTES,
  ZSPAGE_BYTES,
  ZSPAGES_MAX,
} from './size_classes.ts';
import { dirtySize, NIL, pagesInUse, totalSize } from './stock.ts';
import {
  createZsmalloc,
  GROUPS,
  HANDLE_BYTES,
  ZSPAGE_META_BYTES,
  ZSPAGES_PER_SEGMENT,
  type Zsmalloc,
  Zspool,
} from './zsmalloc.ts';

class CompactingPool extends Zspool implements Objects {
  readonly pages = null;
  readonly lengthMax = OBJECT_BYTES_MAX;
  readonly poorBytes = POOR_BYTES;

  compact(pagesMax: number): number {
    return compact(this, pagesMax);
  }
}

export const zsmalloc: Allocator<Zsmalloc> = {
  name: 'zsmalloc',
  about: 'packs objects of a size into zspages of 64 KiB',
  pageBytes: ZSPAGE_BYTES,
  bytesMax: ZSPAGE_BYTES * ZSPAGES_MAX,
  rawPerPage: CLASSES.objects[classOf(OBJECT_BYTES_MAX)],
  lists: false,
  create: (bytes, handles) => createZsmalloc(bytes, handles),
  open: (memory) => new CompactingPool(memory),
  total: totalSize,
  idle: dirtySize,
  pages: pagesInUse,
  metadata: (memory, handles) => handles * HANDLE_BYTES + pagesInUse(memory) * ZSPAGE_META_BYTES,
  usage,
  mapped: ({ readers }, handle) => readers[handle] !== 0,
  objects: ({ inUse }) => inUse.reduce((sum, objects) => sum + objects, 0),
  owns,
  strays: () => 0,
  footprint: (_memory, _handle, length) => CLASSES.size[classOf(length)],
  locks: ({ classLock }) => [{ words: classLock, name: 'size class lock' }],
  owned: ({ classLock, classOfZspage, control }) => [
    {
      columns: ['inUse', 'freeObject', 'group', 'prev', 'next'],
      locksOf: (page) => [
        { words: classLock, index: classOfZspage[page] },
        { words: control, index: 0 },
      ],
    },
  ],
};

/** An object that is moved meanwhile is looked for where it is then; nothing is moved without end. */
function owns({ location, classOfZspage, segments }: Zsmalloc, handle: number, length: number): boolean {
  for (let at = location[handle]; ; at = location[handle]) {
    const page = Math.floor(at / OBJECTS_MAX);
    const c = classOfZspage[page];
    const from = (page % ZSPAGES_PER_SEGMENT) * ZSPAGE_BYTES + (at % OBJECTS_MAX) * CLASSES.size[c];
    const { [Math.floor(page / ZSPAGES_PER_SEGMENT)]: segment } = segments;
    const header = new DataView(segment.buffer, from, OBJECT_HEADER).getUint32(0, true);
    if (c === classOf(length) && header === ((handle << 1) | 1) >>> 0) return true;
    if (location[handle] === at) return false;
  }
}

function usage(
  { classLock: lock, unlinked, groupHead: heads, next, inUse, pages }: Zsmalloc,
  piece: Int32Array,
): AllocatorUsage | null {
  let linked = 0;
  let objects = 0;
  for (let c = 0; c < CLASSES.count; c++) {
    // Of the class and not of each group: a zspage goes from one group to another.
    const stamp = stampOf({ lock, index: c, unlinked });
    for (let head = c * GROUPS; head < (c + 1) * GROUPS; head++) {
      const whole = eachLinked({ lock, index: c, unlinked, heads, head, next, none: NIL }, stamp, piece, (page) => {
        linked++;
        objects += inUse[page];
        // More than there are: a ring.
        return linked <= pages;
      });
      if (!whole) return null;
    }
  }
  return { linked, objects };
}
