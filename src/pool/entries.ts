/**
 * Entries: the metadata of stored pages, one typed-array column per field, never a JS object per page.
 *
 * Entry 0 is "none". An entry's index is also the handle of its object: the allocator keeps the handle's location, so
 * compaction can move an object while its name stays. A free entry has an even generation, a live one an odd; every
 * allocation and every free adds one, so that a use after free or a double free is seen by comparing generations.
 *
 * Field ownership: `slot`, `volume`, `memcg`, `length`, `fill` are written before the entry is published and stay until it
 * is freed. `prev`, `next` belong to the lock of the LRU list that its memcg has (lru.ts). `referenced` is written without a lock (it is a
 * hint). `state` belongs to the entry protocol (reference count or position).
 */
import { int32, uint8, uint16, uint32 } from '../shm/columns.ts';
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
  readonly state: Int32Array;
  readonly generation: Uint32Array;
  /** [lock, free list head, high-water mark, in use]; the free list is linked through `next`. */
  readonly control: Int32Array;
}

const LOCK = 0;
const FREE_HEAD = 1;
const HIGH_WATER = 2;
const IN_USE = 3;

export function createEntries(capacity: number): Entries {
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
    state: int32(capacity),
    generation: uint32(capacity),
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
  state: 4,
  generation: 4,
} satisfies Record<Exclude<keyof Entries, 'capacity' | 'control'>, number>;
/** Bytes of metadata per entry; what its handle costs the allocator comes on top. */
export const ENTRY_BYTES = Object.values(WIDTHS).reduce((sum, width) => sum + width, 0);

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
