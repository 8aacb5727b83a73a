/**
 * Entries: the metadata of stored pages, one typed-array column per field, never a JS object per page.
 *
 * Entry 0 is "none". An entry's index is also the handle of its object: the allocator keeps the handle's location, so
 * compaction can move an object while its name stays. A free entry has an even generation, a live one an odd; every
 * allocation and every free adds one, so that a use after free or a double free is seen by comparing generations.
 *
 * Field ownership: `slot`, `volume`, `memcg`, `length`, `fill`, `stamp` are written before the entry is published and stay until it
 * is freed; `memcg` alone may change, by whoever has the slot's pin and the lock of its tree (lru.ts, give). `dead` belongs to the lock of the
 * list, as `prev` and `next` do. `prev`, `next` belong to the lock of the LRU list that its memcg has (lru.ts). `referenced` and `accessed` are written without a
 * lock (they are hints). `state` belongs to the entry protocol (reference count or position).
 */
import { float64, int32, uint8, uint16, uint32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';

export const NONE = 0;
/** `fill` of a page of 4096 bytes that is kept because it may not be written back, and 0 of any other such. */
export const KEPT = 1;
/** `length` of a same-filled page: it has no object, and `fill` holds its 32-bit word. */
export const LENGTH_SAME_FILLED = 0;

export interface Entries {
  readonly capacity: number;
  readonly slot: Uint32Array;
  /** Index of the export. */
  readonly volume: Uint8Array;
  /** Row of the memcg that it was stored for; one that is offline has an heir (memcg.ts). */
  readonly memcg: Uint16Array;
  /** Bytes of the compressed object; 4096 stands for a page stored raw; 0 for a same-filled page. */
  readonly length: Uint16Array;
  /** By length: the word of a same-filled page, and KEPT or 0 of a page stored raw. */
  readonly fill: Uint32Array;
  readonly prev: Int32Array;
  readonly next: Int32Array;
  readonly referenced: Uint8Array;
  /** The tick in which it was stored or read last (access_time.ts). */
  readonly accessed: Uint32Array;
  readonly state: Int32Array;
  readonly generation: Uint32Array;
  /** When it was stored, in microseconds; where an agent says whose pages are (owners.ts), else it is empty. */
  readonly stamp: Float64Array;
  /** With stamps: 1 if its slot is free in the guest, so that nobody reads it any more (dead.ts). */
  readonly dead: Uint8Array;
  /** [lock, free list head, high-water mark, in use]; the free list is linked through `next`. */
  readonly control: Int32Array;
}

const LOCK = 0;
const FREE_HEAD = 1;
const HIGH_WATER = 2;
const IN_USE = 3;

/** `stamped`: it is noted when each was stored. */
export function createEntries(capacity: number, stamped = false): Entries {
  const entries: Entries = {
    capacity,
    slot: uint32(capacity),
    volume: uint8(capacity),
    memcg: uint16(capacity),
    length: uint16(capacity),
    fill: uint32(capacity),
    prev: int32(capacity),
    next: int32(capacity),
    referenced: uint8(capacity),
    accessed: uint32(capacity),
    state: int32(capacity),
    generation: uint32(capacity),
    stamp: float64(stamped ? capacity : 0),
    dead: uint8(stamped ? capacity : 0),
    control: int32(IN_USE + 1),
  };
  entries.control[HIGH_WATER] = 1;
  return entries;
}

/** Bytes of each column, as createEntries makes them. */
const WIDTHS = {
  slot: 4,
  volume: 1,
  memcg: 2,
  length: 2,
  fill: 4,
  prev: 4,
  next: 4,
  referenced: 1,
  accessed: 4,
  state: 4,
  generation: 4,
} satisfies Record<Exclude<keyof Entries, 'capacity' | 'control' | 'stamp' | 'dead'>, number>;
const ENTRY_BYTES = Object.values(WIDTHS).reduce((sum, width) => sum + width, 0);

/** Bytes of metadata per entry; what its handle costs the allocator comes on top. */
export function entryBytes({ stamp, dead }: Entries): number {
  return ENTRY_BYTES + (stamp.length > 0 ? stamp.BYTES_PER_ELEMENT + dead.BYTES_PER_ELEMENT : 0);
}

/**
 * Takes an entry, or NONE when the table has no more than `spare` left. Its fields are the caller's until it is published.
 */
export function allocEntry(t: Entries, spare = 0): number {
  sync.lock(t.control, LOCK);
  let e: number = NONE;
  if (t.control[IN_USE] + spare < t.capacity - 1) {
    e = t.control[FREE_HEAD];
    if (e === NONE) e = t.control[HIGH_WATER]++;
    else t.control[FREE_HEAD] = t.next[e];
    t.control[IN_USE]++;
    t.generation[e]++;
    t.prev[e] = NONE;
    t.next[e] = NONE;
  }
  sync.unlock(t.control, LOCK);
  return e;
}

/** Gives an entry back. A double free is a defect of ours: it throws, and the process stops. */
export function freeEntry(t: Entries, e: number): void {
  sync.lock(t.control, LOCK);
  const live = (t.generation[e] & 1) === 1;
  if (live) {
    if (checking) poison(t, e);
    t.generation[e]++;
    t.next[e] = t.control[FREE_HEAD];
    t.control[FREE_HEAD] = e;
    t.control[IN_USE]--;
  }
  sync.unlock(t.control, LOCK);
  if (!live) sync.violation('double free', `double free of entry ${e}`);
}

/** While this lock is held no entry is taken or given back, so that what is alive stays so. A leaf: nothing is taken under it. */
export function lockLives(t: Entries): void {
  sync.lock(t.control, LOCK);
}

export function unlockLives(t: Entries): void {
  sync.unlock(t.control, LOCK);
}

/** With debug.oracle and under an explorer, each dereference of an entry checks that it is alive, and freed ones are poisoned. */
let checking = false;

/** Fills what was freed, as the kernel's POISON_FREE does: a word that nothing else here holds is seen in a dump. */
const POISON = 0x6b6b6b6b;

/** No slot, no length and no export has these; an object keeps its length, which its allocator is going to be told. */
function poison(t: Entries, e: number): void {
  t.slot[e] = 0xffffffff;
  t.volume[e] = 0xff;
  t.fill[e] = POISON;
}

export function setChecking(on: boolean): void {
  checking = on;
}

/** Call before the fields of `e` are used by somebody who believes that it is alive. */
export function checkLive(t: Entries, e: number): void {
  if (checking && (t.generation[e] & 1) === 0) {
    sync.violation('use after free', `entry ${e} was freed and is used`);
  }
}

/** Entries ever used, plus one: the bound of a scan over all of them. */
export function highWater(t: Entries): number {
  return sync.load(t.control, HIGH_WATER);
}

export function isLive(t: Entries, e: number): boolean {
  return (t.generation[e] & 1) === 1;
}
