/**
 * Compaction: moves objects from the emptiest zspage of a class into the fullest that has room, until the emptiest is
 * free. It only tries locks, and moves nothing that is mapped.
 *
 * Races. A reader maps first and then reads the location; we swap readers 0 -> MOVING first and then change it:
 *   1. reader: readers 0 -> 1      2. we: CAS fails, the object stays
 *   1. we: readers 0 -> MOVING     2. reader waits in map()   3. we move, store 0, wake   4. reader sees the new place
 * A free can't come between, because it needs the class lock that we hold.
 */
import * as sync from '../../shm/sync.ts';
import { CLASSES, OBJECT_HEADER, OBJECTS_MAX } from './size_classes.ts';
import { FULL, GROUPS, MOVING, ZSPAGES_PER_SEGMENT, type Zspool } from './zsmalloc.ts';

/** How far into a group's list we look for the next candidate, so that a lock is never held for long. */
const LOOK_MAX = 16;

/** Frees at most `zspagesMax` zspages over all classes; returns how many it freed. */
export function compact(pool: Zspool, zspagesMax: number): number {
  let freed = 0;
  for (let c = 0; c < CLASSES.count && freed < zspagesMax; c++) {
    while (freed < zspagesMax && compactOne(pool, c)) freed++;
  }
  return freed;
}

/** Empties one zspage of class `c`; false when there is none worth it, or somebody is at work in the class. */
function compactOne(pool: Zspool, c: number): boolean {
  const { z } = pool;
  if (!sync.tryLock(z.classLock, c)) return false;
  try {
    const source = emptiest(pool, c);
    if (source < 0) return false;
    const objects = CLASSES.objects[c];
    if (roomBeside(pool, c, source) < z.inUse[source]) return false;
    for (let object = 0; object < objects; object++) {
      const header = pool.header(source, object);
      if ((header & 1) === 0) continue;
      // With its last object the source goes back to the free list, from where another class may take it at once:
      // nothing of it may be read after that, so this is asked before.
      const last = z.inUse[source] === 1;
      if (!moveObject(pool, c, source, object, header >>> 1)) return false;
      if (last) return true;
    }
    return false;
  } finally {
    sync.unlock(z.classLock, c);
  }
}

function emptiest(pool: Zspool, c: number): number {
  for (let g = 0; g < FULL; g++) {
    const page = pool.z.groupHead[c * GROUPS + g];
    if (page >= 0) return page;
  }
  return -1;
}

/** Free objects in other zspages of the class, as far as we look. */
function roomBeside(pool: Zspool, c: number, source: number): number {
  const { z } = pool;
  let room = 0;
  for (let g = FULL - 1; g >= 0; g--) {
    let page = z.groupHead[c * GROUPS + g];
    for (let looked = 0; page >= 0 && looked < LOOK_MAX; looked++, page = z.next[page]) {
      if (page !== source) room += CLASSES.objects[c] - z.inUse[page];
    }
  }
  return room;
}

function moveObject(pool: Zspool, c: number, source: number, object: number, handle: number): boolean {
  const { z } = pool;
  if (sync.cas(z.readers, handle, 0, MOVING) !== 0) return false;
  let target = -1;
  for (let g = FULL - 1; g >= 0 && target < 0; g--) {
    let page = z.groupHead[c * GROUPS + g];
    while (page === source) page = z.next[page];
    target = page;
  }
  if (target >= 0) {
    const to = pool.takeObject(target, handle);
    const fromSegment = z.segments[segmentOf(source)];
    const from = pool.address(source, object) + OBJECT_HEADER;
    const bytes = CLASSES.size[c] - OBJECT_HEADER;
    z.segments[segmentOf(target)].set(
      fromSegment.subarray(from, from + bytes),
      pool.address(target, to) + OBJECT_HEADER,
    );
    z.location[handle] = target * OBJECTS_MAX + to;
    pool.releaseObject(source, object);
  }
  sync.store(z.readers, handle, 0);
  sync.notify(z.readers, handle);
  return target >= 0;
}

function segmentOf(page: number): number {
  return Math.floor(page / ZSPAGES_PER_SEGMENT);
}
