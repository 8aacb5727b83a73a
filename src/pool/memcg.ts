/**
 * The memory cgroups: a tree of rows in shared memory, struct of arrays. Row 0 is the root. The main thread alone changes it
 * (memcg_tree.ts), every thread reads it as it is at that moment: nothing of it is kept per thread.
 *
 *   FREE -> ONLINE -> OFFLINE -> FREE
 *
 * An entry names the memcg that it was stored for, and goes on naming it when that is offline: then the list of its nearest
 * ancestor that is online has it (lru.ts). So a row is free again only when no entry names it any more, no row below it is
 * in use, and nobody is about to store for it. A row's parent never changes while the row is in use.
 *
 * What is counted of a memcg (bytes, pages, events) is counted for its whole path, in a cell for each thread: a cache line
 * that only this thread writes. So going up a path takes no lock and no atomic operation, whatever its depth, and a memcg
 * that goes offline has nothing to hand over: its ancestors have it already. The root is not on any path: what it would
 * have is counted for the pool as a whole.
 */
import { float64, int32, uint8, uint16 } from '../shm/columns.ts';
import { type Attribution, createAttribution } from './attribution.ts';
import { EXPORTS_MAX } from './limits.ts';

export const ROOT = 0;
/** Bytes of a name, as of any file's. */
export const NAME_BYTES = 255;
/** The most rows between the root and a memcg, itself counted: what a cgroup.max.depth would be. */
export const DEPTH_MAX = 64;

export const MEMCG = { FREE: 0, ONLINE: 1, OFFLINE: 2 } as const;

/** Columns of a cell. Bytes that came and bytes that went are apart, for currentOf. */
export const CELL = {
  ADDED: 0,
  FREED: 1,
  PAGES: 2,
  INCOMPRESSIBLE: 3,
  ZSWPOUT: 4,
  ZSWPIN: 5,
  ZSWPWB: 6,
  /** Bytes of objects that were written back for memory.reclaim. */
  PROACTIVE: 7,
} as const;
/** A cache line of 64 bytes. */
export const CELL_COLUMNS = 8;

/** Words of `control`. */
export const TABLE = {
  /** Rows [0, END) may be in use, and the last of them is. */
  END: 0,
  /** Rows that are online and have, or have had, an export: none but these can have pages. */
  HOMES: 1,
  /** Lists that have gone to a parent's. Written under the locks of both (lru.ts). */
  MOVED: 2,
} as const;

/** Bits of all exports, in words. */
const HOME_WORDS = EXPORTS_MAX / 32;

export interface Memcgs extends Attribution {
  readonly rows: number;
  readonly threads: number;
  /** See MEMCG. Written under the lock of the row's list. */
  readonly state: Uint8Array;
  readonly parent: Uint16Array;
  /** zswap.max: bytes, Infinity for none. The root has none. */
  readonly max: Float64Array;
  /** The row's own zswap.writeback: 1 where it is off. */
  readonly keeps: Uint8Array;
  /** Stores that were let in at the limit of this row, or of one on its path, and are not over yet (zswap/admission.ts). */
  readonly reserved: Int32Array;
  /** Bits: exports whose pages may be on the row's list. */
  readonly homes: Int32Array;
  /** A bit for each row: it has homes. So the worker finds its next memcg among 65,000 without homes by 2,048 words. */
  readonly homeRows: Int32Array;
  readonly cells: Float64Array;
  /** Per row NAME_BYTES + 1: length, then bytes of UTF-8. */
  readonly names: Uint8Array;
  readonly control: Int32Array;
}

/**
 * A table with its root. `threads`: those that will store, load or free; `ranges` of slots with a memcg of their own; `agents`: pages of each
 * export, 0 for one without an agent.
 */
export function createMemcgs(rows: number, threads: number, ranges = 0, agents: readonly number[] = []): Memcgs {
  const table: Memcgs = {
    rows,
    threads,
    state: uint8(rows),
    parent: uint16(rows),
    max: float64(rows),
    keeps: uint8(rows),
    reserved: int32(rows),
    ...createAttribution(ranges, agents),
    homes: int32(rows * HOME_WORDS),
    homeRows: int32(Math.ceil(rows / 32)),
    cells: float64(rows * threads * CELL_COLUMNS),
    names: uint8(rows * (NAME_BYTES + 1)),
    control: int32(Object.keys(TABLE).length),
  };
  table.state[ROOT] = MEMCG.ONLINE;
  table.max[ROOT] = Number.POSITIVE_INFINITY;
  table.control[TABLE.END] = 1;
  return table;
}

export function isOnline(t: Memcgs, m: number): boolean {
  return t.state[m] === MEMCG.ONLINE;
}

/** The row whose list has what `m` names. It stays so while its lock is held. */
export function heirOf(t: Memcgs, m: number): number {
  let row = m;
  while (t.state[row] === MEMCG.OFFLINE) row = t.parent[row];
  return row;
}

/** The smallest limit on the path of `m`, up to the root but without it. */
export function limitOf(t: Memcgs, m: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let row = m; row !== ROOT; row = t.parent[row]) if (t.max[row] < least) least = t.max[row];
  return least;
}

/** The effective zswap.writeback: no row on the path has it off, and the root has not. */
export function writesBack(t: Memcgs, m: number): boolean {
  for (let row = m; row !== ROOT; row = t.parent[row]) if (t.keeps[row] !== 0) return false;
  return t.keeps[ROOT] === 0;
}

/**
 * Counts a page that came (`sign` 1) or went (-1), with `bytes` of object, for the path of `m` up to `above`, without it. The
 * bytes are last, because they are what keeps a row that is offline from being given away (memcg_tree.ts):
 *   1. the last page of a row goes   2. the main thread finds the row empty, and has another parent for it
 *   3. what was still to be counted is counted there, and goes up that path. Who is above keeps its row by bytes of its own
 */
export function chargePath(
  t: Memcgs,
  thread: number,
  m: number,
  bytes: number,
  sign: 1 | -1,
  raw: boolean,
  above = ROOT,
): void {
  const { cells, parent, threads } = t;
  for (let row = m; row !== above; ) {
    const at = (row * threads + thread) * CELL_COLUMNS;
    row = parent[row];
    cells[at + CELL.PAGES] += sign;
    if (raw) cells[at + CELL.INCOMPRESSIBLE] += sign;
    if (sign > 0) cells[at + CELL.ZSWPOUT]++;
    cells[at + (sign > 0 ? CELL.ADDED : CELL.FREED)] += bytes;
  }
}

/** The row that `a` and `b` are both below, or are themselves: the nearest. */
export function commonOf({ parent }: Pick<Memcgs, 'parent'>, a: number, b: number): number {
  let [one, other] = [a, b];
  // A row is made after its parent, and may have a smaller number all the same; so depths are counted.
  let down = depthOf(parent, one) - depthOf(parent, other);
  for (; down > 0; down--) one = parent[one];
  for (; down < 0; down++) other = parent[other];
  while (one !== other) {
    one = parent[one];
    other = parent[other];
  }
  return one;
}

function depthOf(parent: Uint16Array, m: number): number {
  let depth = 0;
  for (let row = m; row !== ROOT; row = parent[row]) depth++;
  return depth;
}

/** Counts an event, or `by` of them, for the whole path of `m`. */
export function countEvent(t: Memcgs, thread: number, m: number, column: number, by = 1): void {
  const { cells, parent, threads } = t;
  for (let row = m; row !== ROOT; row = parent[row]) cells[(row * threads + thread) * CELL_COLUMNS + column] += by;
}

/** What all threads have counted of `m` and what is below it. */
export function countOf(t: Memcgs, m: number, column: number): number {
  const { cells, threads } = t;
  const end = (m + 1) * threads * CELL_COLUMNS;
  let count = 0;
  for (let at = m * threads * CELL_COLUMNS + column; at < end; at += CELL_COLUMNS) count += cells[at];
  return count;
}

/**
 * zswap.current: bytes of objects of `m` and what is below it. Threads go on while we add up, and it must not come to less than
 * there is, so what went is read first: an entry that is seen to have gone had come before that, and is seen to have come.
 */
export function currentOf(t: Memcgs, m: number): number {
  const freed = countOf(t, m, CELL.FREED);
  return countOf(t, m, CELL.ADDED) - freed;
}

/**
 * Homes: which exports' pages may be on which lists. The main thread alone writes them, so plain writes do, a row's exports
 * before its bit, and at an end the heir's before the list moves, and what is taken from `m` after it. The worker may see them at
 * any moment between:
 *
 *   1. the main thread gives `m` a home   2. the worker passes `m` by   3. a page is stored: the next round finds it
 *   1. the worker finds the bit of `m`   2. its homes move to its parent   3. the worker asks whose pages: of no export, so
 *      `m` counts as empty, and the parent, which has the bit already, comes in its turn
 *   1. a round passes the parent by   2. the list of `m` moves there   3. the round finds `m` empty: MOVED has changed, and whoever
 *      has to have seen every page goes round once more. A row keeps its homes until its list has gone, because who walks that list
 *      takes its lock, and so knows of MOVED
 */
export function makeHome(t: Memcgs, m: number, x: number): void {
  const had = hasHomes(t, m);
  t.homes[m * HOME_WORDS + (x >> 5)] |= 1 << (x & 31);
  if (!had) noteHomes(t, m, true);
}

function noteHomes(t: Memcgs, m: number, has: boolean): void {
  const bit = 1 << (m & 31);
  if (has) t.homeRows[m >>> 5] |= bit;
  else t.homeRows[m >>> 5] &= ~bit;
  t.control[TABLE.HOMES] += has ? 1 : -1;
}

export function isHome(t: Memcgs, m: number, x: number): boolean {
  return (t.homes[m * HOME_WORDS + (x >> 5)] & (1 << (x & 31))) !== 0;
}

export function hasHomes(t: Memcgs, m: number): boolean {
  return (t.homeRows[m >>> 5] & (1 << (m & 31))) !== 0;
}

/** The next row that has homes, from row `from` on and then from the first one; the root where none has. */
export function nextHome({ control, homeRows }: Memcgs, from: number): number {
  const end = control[TABLE.END];
  const start = from < end ? from : 0;
  const words = (end + 31) >>> 5;
  // The first word is looked at twice, for its rows from `start` on, and in the end for those before.
  for (let i = 0; i <= words; i++) {
    const word = ((start >>> 5) + i) % words;
    const bits = i === 0 ? homeRows[word] & (-1 << (start & 31)) : homeRows[word];
    if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits);
  }
  return ROOT;
}

/** The list of `m` is about to become that of `heir`, and so is the place of what is stored there. */
export function shareHomes(t: Memcgs, m: number, heir: number): void {
  if (!hasHomes(t, m)) return;
  const had = hasHomes(t, heir);
  for (let word = 0; word < HOME_WORDS; word++) {
    t.homes[heir * HOME_WORDS + word] |= t.homes[m * HOME_WORDS + word];
  }
  if (!had) noteHomes(t, heir, true);
}

/** The list of `m` has gone, and nothing is stored for it any more. */
export function dropHomes(t: Memcgs, m: number): void {
  if (!hasHomes(t, m)) return;
  t.homes.fill(0, m * HOME_WORDS, (m + 1) * HOME_WORDS);
  noteHomes(t, m, false);
}

/** Rows that are online, the root among them: what a loop over memcgs goes over. */
export function onlineRows(t: Memcgs): number[] {
  const rows: number[] = [];
  for (let m = 0; m < t.control[TABLE.END]; m++) if (isOnline(t, m)) rows.push(m);
  return rows;
}

// A name may begin with what a decoder would take for a byte order mark, and leave out.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

export function setName(t: Memcgs, m: number, name: string): void {
  const bytes = encoder.encode(name);
  const at = m * (NAME_BYTES + 1);
  t.names[at] = bytes.length;
  t.names.set(bytes, at + 1);
}

/** The last name on the path of `m`; the root has none. */
export function nameOf(t: Memcgs, m: number): string {
  const at = m * (NAME_BYTES + 1);
  // Of shared memory a decoder takes copies only.
  return decoder.decode(t.names.slice(at + 1, at + 1 + t.names[at]));
}

/** The path from the root, without a leading slash; `/` is the root. */
export function pathOf(t: Memcgs, m: number): string {
  const names: string[] = [];
  for (let row = m; row !== ROOT; row = t.parent[row]) names.unshift(nameOf(t, row));
  return names.length === 0 ? '/' : names.join('/');
}
