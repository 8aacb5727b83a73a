/**
 * Several allocators as one, so that another can be chosen while pages are stored, as by the kernel's parameter `zpool`: new
 * objects go to the one that is current, those of before stay where they are until they are freed, and a pool that is not
 * current any more runs empty so. What is said of a handle goes to the allocator that has its object.
 *
 * Each has room for the whole pool; of that, address space is taken and no more. A switch is one word: who stores a page
 * reads it once, so an object is in one pool from its alloc to its free. `home[handle]` belongs to the handle's owner, as all
 * that is said of an entry does.
 */
import { int32, uint8 } from '../../shm/columns.ts';
import * as sync from '../../shm/sync.ts';
import {
  type Allocator,
  type Objects,
  type PageReclaim,
  RECLAIM,
  type ReclaimResult,
  type Release,
} from './allocator.ts';
import type { Buddies } from './buddies.ts';
import { z3fold, zbud } from './buddy_allocators.ts';
import type { Zsmalloc } from './zsmalloc.ts';
import { zsmalloc } from './zsmalloc_allocator.ts';

type Pool = Zsmalloc | Buddies;

export interface Switched {
  readonly kind: 'switched';
  readonly pools: readonly Pool[];
  /** By handle: index of the pool that has its object; of a handle without one it says nothing. */
  readonly home: Uint8Array;
  /** [index of the pool that new objects go to] */
  readonly current: Int32Array;
}

const KINDS = { zsmalloc, zbud, z3fold } as const;
const HOME_BYTES = 1;

/** Of one of the pools. */
function kindOf(pool: Pool): Allocator<Pool> {
  // Each is given memory of its own kind only.
  return KINDS[pool.kind] as Allocator<Pool>;
}

export function createSwitched(pools: readonly Pool[], handles: number): Switched {
  return { kind: 'switched', pools, home: uint8(handles), current: int32(1) };
}

function sumOf({ pools }: Switched, value: (kind: Allocator<Pool>, pool: Pool) => number): number {
  return pools.reduce((sum, pool) => sum + value(kindOf(pool), pool), 0);
}

const homeOf = ({ pools, home }: Switched, handle: number): Pool => pools[home[handle]];

/** Without what config asks of an allocator by its name, which nobody asks of several. */
export const switched: Pick<
  Allocator<Switched>,
  Exclude<keyof Allocator<Switched>, 'name' | 'about' | 'bytesMax' | 'lists' | 'rawPerPage' | 'create'>
> = {
  pageBytes: Math.max(...Object.values(KINDS).map((kind) => kind.pageBytes)),
  open: (memory) => new SwitchedObjects(memory),
  total: (memory) => sumOf(memory, (kind, pool) => kind.total(pool)),
  idle: (memory) => sumOf(memory, (kind, pool) => kind.idle(pool)),
  pages: (memory) => sumOf(memory, (kind, pool) => kind.pages(pool)),
  objects: (memory) => sumOf(memory, (kind, pool) => kind.objects(pool)),
  strays: (memory) => sumOf(memory, (kind, pool) => kind.strays(pool)),
  metadata: (memory, handles) =>
    handles * HOME_BYTES + sumOf(memory, (kind, pool) => kind.metadata(pool, handlesIn(pool, handles))),
  usage({ pools }, piece) {
    let [linked, objects] = [0, 0];
    for (const pool of pools) {
      const found = kindOf(pool).usage(pool, piece);
      if (found === null) return null;
      linked += found.linked;
      objects += found.objects;
    }
    return { linked, objects };
  },
  mapped: (memory, handle) => kindOf(homeOf(memory, handle)).mapped(homeOf(memory, handle), handle),
  owns: (memory, handle, length) => kindOf(homeOf(memory, handle)).owns(homeOf(memory, handle), handle, length),
  footprint: (memory, handle, length) =>
    kindOf(homeOf(memory, handle)).footprint(homeOf(memory, handle), handle, length),
  locks: ({ pools }) => pools.flatMap((pool) => kindOf(pool).locks(pool)),
  owned: ({ pools }) => pools.flatMap((pool) => kindOf(pool).owned(pool)),
};

/** A pool that never had an object has not touched its tables. */
function handlesIn(pool: Pool, handles: number): number {
  return kindOf(pool).total(pool) === 0 ? 0 : handles;
}

class SwitchedObjects implements Objects {
  readonly pages: PageReclaim | null;
  private readonly home: Uint8Array;
  private readonly current: Int32Array;
  private readonly pools: readonly Objects[];
  private readonly pageBytes: readonly number[];

  constructor({ pools, home, current }: Switched) {
    this.home = home;
    this.current = current;
    this.pools = pools.map((pool) => kindOf(pool).open(pool));
    this.pageBytes = pools.map((pool) => kindOf(pool).pageBytes);
    const lists = this.pools.flatMap(({ pages }) => pages ?? []);
    this.pages = lists.length === pools.length ? new SwitchedPages(lists, home, current) : null;
  }

  get lengthMax(): number {
    return this.pools[sync.load(this.current, 0)].lengthMax;
  }

  get poorBytes(): number {
    return this.pools[sync.load(this.current, 0)].poorBytes;
  }

  alloc(handle: number, length: number): boolean {
    const pool = sync.load(this.current, 0);
    // Asked of the one that was current a moment ago.
    if (length > this.pools[pool].lengthMax) return false;
    this.home[handle] = pool;
    return this.pools[pool].alloc(handle, length);
  }

  free(handle: number, length: number): void {
    this.pools[this.home[handle]].free(handle, length);
  }

  map(handle: number): void {
    this.pools[this.home[handle]].map(handle);
  }

  unmap(handle: number): void {
    this.pools[this.home[handle]].unmap(handle);
  }

  segment(handle: number): Uint8Array {
    return this.pools[this.home[handle]].segment(handle);
  }

  offset(handle: number): number {
    return this.pools[this.home[handle]].offset(handle);
  }

  compact(pagesMax: number): number {
    return this.pools.reduce((freed, pool) => freed + pool.compact(pagesMax), 0);
  }

  /** What is kept for the next stores is of use in one of them only. */
  trim(keepBytes: number, pagesMax: number, release: Release): number {
    const current = sync.load(this.current, 0);
    const bytes = pagesMax * switched.pageBytes;
    return this.pools.reduce(
      (given, pool, i) => given + pool.trim(i === current ? keepBytes : 0, bytes / this.pageBytes[i], release),
      0,
    );
  }
}

/** The pages of those that are not current are tried first, as the kernel took the pool that it had longest. */
class SwitchedPages implements PageReclaim {
  private readonly lists: readonly PageReclaim[];
  private readonly home: Uint8Array;
  private readonly current: Int32Array;
  /** The list that a page is being reclaimed of. */
  private of = 0;

  constructor(lists: readonly PageReclaim[], home: Uint8Array, current: Int32Array) {
    this.lists = lists;
    this.home = home;
    this.current = current;
  }

  get labelX(): number {
    return this.lists[this.of].labelX;
  }

  get labelSlot(): number {
    return this.lists[this.of].labelSlot;
  }

  label(handle: number, x: number, slot: number): void {
    this.lists[this.home[handle]].label(handle, x, slot);
  }

  readLabel(place: number, byChunks: boolean): void {
    this.lists[this.of].readLabel(place, byChunks);
  }

  reclaimPage<T>(
    tries: number,
    early: boolean,
    evict: (context: T, place: number) => boolean,
    context: T,
  ): ReclaimResult {
    const current = sync.load(this.current, 0);
    let best: ReclaimResult = RECLAIM.NONE;
    for (let i = 1; i <= this.lists.length; i++) {
      this.of = (current + i) % this.lists.length;
      const result = this.lists[this.of].reclaimPage(tries, early, evict, context);
      if (result === RECLAIM.FREED) return result;
      // Pages that may not go, because their memcg writes nothing back, keep nobody else's.
      if (result === RECLAIM.AGAIN) best = result;
    }
    return best;
  }
}
