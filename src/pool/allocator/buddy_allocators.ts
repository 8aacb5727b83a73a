/** zbud and z3fold by the contract of allocators. */
import { PAGE_SIZE } from '../limits.ts';
import { eachLinked, stampOf } from '../pieces.ts';
import type { Allocator, AllocatorUsage, OwnedColumns } from './allocator.ts';
import {
  BUDDY_PAGES_MAX,
  type Buddies,
  buddyOf,
  CHUNK_BYTES,
  chunkOf,
  chunksOf,
  createBuddies,
  FIRST,
  HEADER_CHUNKS,
  LAST,
  LISTS,
  MIDDLE,
  NO_LIST,
  PAGE_CHUNKS,
  pageMetaBytes,
  pageOf,
  SHARED_BYTES_MAX,
} from './buddies.ts';
import { dirtySize, NIL, pagesInUse, pagesTouched, totalSize } from './stock.ts';
import { Z3fold } from './z3fold.ts';
import { Zbud } from './zbud.ts';

/** location and readers. */
const HANDLE_BYTES = 2 * 4;

const COMMON = {
  pageBytes: PAGE_SIZE,
  lists: true,
  bytesMax: BUDDY_PAGES_MAX * PAGE_SIZE,
  total: totalSize,
  idle: dirtySize,
  pages: pagesInUse,
  metadata: (memory, handles) => handles * HANDLE_BYTES + pagesInUse(memory) * pageMetaBytes(memory),
  usage,
  owns,
  strays,
  mapped: ({ readers }, handle) => readers[handle] !== 0,
  objects: (memory) => {
    const end = pagesTouched(memory);
    let objects = 0;
    for (let page = 0; page < end; page++) objects += objectsOf(memory, page);
    return objects;
  },
} as const satisfies Partial<Allocator<Buddies>>;

export const zbud: Allocator<Buddies> = {
  ...COMMON,
  name: 'zbud',
  about: 'two objects to a page of 4 KiB at most, as in Linux 3.11 to 6.14',
  rawPerPage: 0,
  create: (bytes, handles, listed) => createBuddies('zbud', bytes, handles, listed),
  open: (memory) => new Zbud(memory),
  footprint: (memory, _handle, length) => chunksOf(length + memory.labelBytes) * CHUNK_BYTES,
  locks: ({ lock }) => [{ words: lock, name: 'zbud pool lock' }],
  owned: (memory) => [
    listColumns(memory),
    { columns: ['first', 'last', 'claimed'], locksOf: () => [poolLock(memory)] },
  ],
};

export const z3fold: Allocator<Buddies> = {
  ...COMMON,
  name: 'z3fold',
  about: 'three of them, as in Linux 4.8 to 6.14',
  rawPerPage: 1,
  create: (bytes, handles, listed) => createBuddies('z3fold', bytes, handles, listed),
  open: (memory) => new Z3fold(memory),
  footprint: ({ labelBytes }, _handle, length) =>
    length + labelBytes > SHARED_BYTES_MAX ? PAGE_SIZE : chunksOf(length + labelBytes) * CHUNK_BYTES,
  locks: ({ lock, pageLock }) => [
    { words: lock, name: 'z3fold pool lock' },
    { words: pageLock, name: 'z3fold page lock' },
  ],
  owned: (memory) => [
    listColumns(memory),
    {
      columns: ['first', 'middle', 'last', 'startMiddle', 'middleOwner', 'claimed'],
      locksOf: (page) => [{ words: memory.pageLock, index: page }],
    },
  ],
};

function poolLock({ lock }: Buddies): { readonly words: Int32Array; readonly index: number } {
  return { words: lock, index: 0 };
}

/** A page that holds nothing is the stock's. */
function listColumns(memory: Buddies): OwnedColumns {
  const locks = [poolLock(memory), { words: memory.control, index: 0 }];
  return { columns: ['list', 'prev', 'next', 'newer', 'older', 'aged'], locksOf: () => locks };
}

function objectsOf({ first, middle, last }: Buddies, page: number): number {
  const inMiddle = middle.length > 0 && middle[page] !== 0;
  return Number(first[page] !== 0) + Number(inMiddle) + Number(last[page] !== 0);
}

/** A page with objects is on the list of pages, claimed by nobody, counts its objects, and is on one of the other lists. */
function strays(memory: Buddies): number {
  const { labelBytes, aged, claimed, refs, list } = memory;
  const end = labelBytes === 0 ? 0 : pagesTouched(memory);
  let found = 0;
  for (let page = 0; page < end; page++) {
    const objects = objectsOf(memory, page);
    const counts = refs.length === 0 || refs[page] === objects;
    const listed = objects === 0 || (aged[page] === 1 && list[page] !== NO_LIST);
    if (!counts || !listed || claimed[page] !== 0) found++;
  }
  return found;
}

/** An object that is moved meanwhile is looked for where it is then; nothing is moved without end. */
function owns(memory: Buddies, handle: number, length: number): boolean {
  const { location, first, middle, last, startMiddle, labelBytes } = memory;
  const bytes = length + labelBytes;
  const chunks = bytes > SHARED_BYTES_MAX ? PAGE_CHUNKS : chunksOf(bytes);
  for (let at = location[handle]; ; at = location[handle]) {
    const [page, chunk, buddy] = [pageOf(at), chunkOf(at), buddyOf(at)];
    const found =
      buddy === FIRST
        ? first[page] === chunks && chunk === (chunks === PAGE_CHUNKS ? 0 : HEADER_CHUNKS)
        : buddy === LAST
          ? last[page] === chunks && chunk === PAGE_CHUNKS - chunks
          : buddy === MIDDLE && middle[page] === chunks && chunk === startMiddle[page];
    if (found) return true;
    if (location[handle] === at) return false;
  }
}

function usage(memory: Buddies, piece: Int32Array): AllocatorUsage | null {
  const { lock, unlinked, heads, next, pages } = memory;
  let linked = 0;
  let objects = 0;
  // Of all lists and not of each: a page goes from one to another.
  const stamp = stampOf({ lock, index: 0, unlinked });
  for (let head = 0; head < LISTS; head++) {
    const whole = eachLinked({ lock, index: 0, unlinked, heads, head, next, none: NIL }, stamp, piece, (page) => {
      linked++;
      objects += objectsOf(memory, page);
      // More than there are: a ring.
      return linked <= pages;
    });
    if (!whole) return null;
  }
  return { linked, objects };
}
