/** The allocator that the pool uses. Its memory is an opaque thing to everybody outside of this folder. */

import { eachLinked, stampOf } from '../pieces.ts';
import type { Allocator, AllocatorUsage, Objects } from './allocator.ts';
import { compact } from './compaction.ts';
import { CLASSES, ZSPAGE_BYTES } from './size_classes.ts';
import {
  createZsmalloc,
  dirtySize,
  GROUPS,
  HANDLE_BYTES,
  NIL,
  totalSize,
  ZSPAGE_META_BYTES,
  type Zsmalloc,
  Zspool,
} from './zsmalloc.ts';

export type { Objects, Release } from './allocator.ts';
export type ObjectMemory = Zsmalloc;

export const allocator: Allocator<ObjectMemory> = {
  name: 'zsmalloc',
  pageBytes: ZSPAGE_BYTES,
  handleBytes: HANDLE_BYTES,
  create: createZsmalloc,
  open: (memory) => new CompactingPool(memory),
  total: totalSize,
  idle: dirtySize,
  metadata: (memory) => (totalSize(memory) / ZSPAGE_BYTES) * ZSPAGE_META_BYTES,
  usage,
  mapped: ({ readers }, handle) => readers[handle] !== 0,
  objects: ({ inUse }) => inUse.reduce((sum, objects) => sum + objects, 0),
  locks: ({ classLock }) => [{ words: classLock, name: 'size class lock' }],
  owned: ({ classLock, classOfZspage, control }) => ({
    columns: ['inUse', 'freeObject', 'group', 'prev', 'next'],
    locksOf: (page) => [
      { words: classLock, index: classOfZspage[page] },
      { words: control, index: 0 },
    ],
  }),
};

class CompactingPool extends Zspool implements Objects {
  compact(pagesMax: number): number {
    return compact(this, pagesMax);
  }
}

function usage(
  { classLock: lock, unlinked, groupHead: heads, next, inUse, zspages }: Zsmalloc,
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
        return linked <= zspages;
      });
      if (!whole) return null;
    }
  }
  return { linked, objects };
}
