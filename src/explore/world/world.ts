/**
 * The explorer's small world: the same shared memory as in service with tiny tables, an image in memory, connections,
 * and the record of what was acknowledged. It is made once per explorer; a cell changes its settings and its start.
 */

import { allocatorNamed, type ObjectMemory } from '../../pool/allocator/index.ts';
import { createCountedBits } from '../../pool/bits.ts';
import { createDirty } from '../../pool/dirty.ts';
import { createEntries } from '../../pool/entries.ts';
import { PAGE_SIZE, THREAD_LANE0, THREAD_MAIN, THREADS_MAX, TREE_PAGES } from '../../pool/limits.ts';
import { createMemcgs, type Memcgs } from '../../pool/memcg.ts';
import { fillMemcgs } from '../../pool/memcg_start.ts';
import { createShared, type PoolSettings, type Shared } from '../../pool/shared.ts';
import { createTrees } from '../../pool/tree.ts';
import { int32, uint8 } from '../../shm/columns.ts';
import { createRing, type Ring } from '../../shm/mailbox.ts';
import { ACTORS_MAX } from '../run_state.ts';
import type { ListedAllocator, Scenario } from '../scenarios/scenario.ts';

/** Slots that a scenario can use, from the first slot of a tree on: a node covers all of them. */
export const SLOTS = 8;
/** The one export has the slots of the first tree, and as many of a second one. */
export const PAGES = TREE_PAGES + SLOTS;

/** Numbers of one export, where the slots of several are told apart by one number: that of the first export is the slot. */
const EXPORT_NUMBERS = 2 ** 20;

/** The number of a slot over all exports: what pages name, and what an image and the record of writes keep it by. */
export function numberOf(x: number, slot: number): number {
  return x * EXPORT_NUMBERS + slot;
}

/** Where the image and the record of writes keep a slot. A scenario uses one tree, and few leaves of it, so that no two of its slots meet. */
export function placeOf(number: number): number {
  const slot = number % EXPORT_NUMBERS;
  // The second term keeps slots apart that have the same place in two leaves of a tree; for the first 64 it is 0.
  return Math.floor(number / EXPORT_NUMBERS) * SLOTS + ((slot + ((slot % TREE_PAGES) >>> 6)) % SLOTS);
}
/** The page of a slot in what an image, or the disk behind it, holds. */
export function pageAt(bytes: Uint8Array, slot: number): Uint8Array {
  const at = placeOf(slot) * PAGE_SIZE;
  return bytes.subarray(at, at + PAGE_SIZE);
}

/** Versions of one slot that a scenario can tell apart; 0 is zeros. */
export const VERSIONS = 16;
/** From here on: MIXED + v is version v with its first half overwritten by a part, be it of PART or of zeros. */
export const MIXED = 8;
/** The version that a part is written of; no whole page is. */
const PART = 7;
/** Slots of one READ at most. */
export const READ_MAX = 4;
const SLOT_RECORDS = 16;
/** The root, what is above all, one for each of two exports, three of an agent, and a new one. */
const MEMCG_ROWS = 8;
/** Messages to the shrinker's thread at one time. */
const MESSAGES = 8;
const POOL_BYTES = 2 * allocatorNamed('zsmalloc').pageBytes;
/** With a list of pages: as few as a scenario can do with, because all of it is put back for each run. */
const LISTED_BYTES = 4 * PAGE_SIZE;
/** A path of four for each stored page, and more. */
const NODES = 66;
/** Buffers of each of the two sets. */
export const BUFFERS = 4;

export interface World {
  readonly exports: number;
  readonly shared: Shared;
  /** In the place of shared.zs where reclaim goes by pages. */
  readonly listed: Readonly<Record<ListedAllocator, ObjectMemory>>;
  readonly image: SimImageMemory;
  readonly shadow: Shadow;
  /** What the main thread says to the shrinker's, and its answers by thread: an errno plus 1, or 0 for none. */
  readonly messages: Ring;
  readonly answers: Int32Array;
  /** Per connection: [1 once the client gave it up, 1 while a request of it runs between two waits]. */
  readonly connections: Int32Array;
  /** The time, which goes on by 1 whenever it is asked for, and from word 1 on when something happened in the guest, or 0. */
  readonly clock: Int32Array;
}

/** Things that happen in the guest of a scenario. */
const EVENTS = 4;

export interface SimImageMemory {
  readonly bytes: Uint8Array;
  /** What a finished sync covers. */
  readonly durable: Uint8Array;
  readonly calls: Int32Array;
}

/** See shadow.ts. */
export interface Shadow {
  readonly may: Int32Array;
  readonly pending: Int32Array;
  readonly flushed: Int32Array;
  readonly beside: Int32Array;
  readonly part: Int32Array;
  readonly met: Int32Array;
  readonly owners: Int32Array;
  readonly reading: Int32Array;
  readonly seen: Int32Array;
  /** By export: 1 once a page was found lost. */
  readonly foundLost: Int32Array;
}

export function worldSettings(
  changes: Partial<PoolSettings> & { memcgMax?: number; parentMax?: number },
): PoolSettings {
  const { memcgMax, parentMax, ...rest } = changes;
  const poolBytes = changes.listsPages === true ? LISTED_BYTES : POOL_BYTES;
  return {
    poolBytes,
    acceptBytes: poolBytes,
    level: 1,
    sameFilled: true,
    storeIncompressible: false,
    rawMaxBytes: 0,
    rawOnReject: false,
    heuristic: 'none',
    shrinkerEnabled: false,
    strict: false,
    checksums: false,
    buffers: BUFFERS,
    lanes: ACTORS_MAX,
    exports: [{ name: 'swap0', pages: PAGES, memcg: 0 }],
    memcgs: memcgSettings(1, memcgMax, parentMax),
    ...rest,
  };
}

/** What several exports are: each has its memcg. The first is as large as the only one of a world that has one. */
export function exportSettings(
  exports: number,
  memcgMax?: number,
  pages = PAGES,
  parentMax?: number,
): Pick<PoolSettings, 'exports' | 'memcgs'> {
  const numbers = Array.from({ length: exports }, (_, x) => x);
  return {
    exports: numbers.map((x) => ({ name: `swap${x}`, pages: x === 0 ? pages : SLOTS, memcg: x })),
    memcgs: memcgSettings(exports, memcgMax, parentMax),
  };
}

const PARENT = 'machine';
/** A memcg that is made in a run, and that nothing is stored for. */
export const NEW_MEMCG = 'new';

/** One for each export; all below one, if that has a limit. */
function memcgSettings(exports: number, max = Number.MAX_SAFE_INTEGER, parentMax?: number): PoolSettings['memcgs'] {
  const above = parentMax === undefined ? '' : `${PARENT}/`;
  const own = Array.from({ length: exports }, (_, x) => ({ name: `${above}guest${x}`, max, writeback: true }));
  return parentMax === undefined ? own : [...own, { name: PARENT, max: parentMax, writeback: true }];
}

/** The row of the memcg that export `x` begins with: below the root, or below the first row. */
export function rowOf({ parentMax }: Pick<Scenario, 'parentMax'>, x: number): number {
  return (parentMax === undefined ? 1 : 2) + x;
}

/** The cgroups that an agent of the guest has named: their numbers are 1 and 2. */
export const CGROUPS = ['a', 'b'] as const;

/** The row of the memcg that all are below. */
export const PARENT_ROW = 1;

/** Gives the table of memcgs what a cell's settings say, whatever it had. */
export function beginMemcgs(shared: Shared, settings: PoolSettings): void {
  const empty = createMemcgs(MEMCG_ROWS, THREADS_MAX);
  const { memcgs } = shared;
  for (const key of Object.keys(empty) as (keyof Memcgs)[]) {
    const column = memcgs[key];
    // What is nested has no rows of this table (owners.ts), and was made anew with everything.
    if (ArrayBuffer.isView(column)) column.set(empty[key] as Int32Array);
  }
  fillMemcgs({ ...shared, settings }, THREAD_MAIN);
}

/** The whole export has its bits and trees; of entries there are no more than a scenario's slots need. */
function createSmallShared(exports: number): Shared {
  const several = exportSettings(exports).exports;
  const used = several.map((one) => ({ ...one, pages: SLOTS }));
  const shared = createShared(
    worldSettings({ locklessWalks: true, checksums: true, ...exportSettings(exports), exports: used }),
    SLOT_RECORDS,
    MEMCG_ROWS,
    THREADS_MAX,
  );
  const { readers } = shared;
  const pages = several.map((one) => one.pages);
  const trees = createTrees(pages, NODES, { readers });
  const [users, lost] = [createCountedBits(pages), createCountedBits(pages)];
  // What agents need is there, and used where a scenario has one. Its slots are the first ones.
  const agents = several.map(() => SLOTS);
  const memcgs = createMemcgs(MEMCG_ROWS, THREADS_MAX, 0, agents);
  const entries = createEntries(shared.entries.capacity, true);
  return { ...shared, entries, memcgs, trees, users, lost, dirty: createDirty(pages) };
}

export function createWorld(exports: number): World {
  const slots = SLOTS * exports;
  const shared = createSmallShared(exports);
  const listed = (name: ListedAllocator): ObjectMemory =>
    allocatorNamed(name).create(LISTED_BYTES, shared.entries.capacity, true);
  return {
    exports,
    shared,
    listed: { zbud: listed('zbud'), z3fold: listed('z3fold') },
    image: { bytes: uint8(slots * PAGE_SIZE), durable: uint8(slots * PAGE_SIZE), calls: int32(1) },
    shadow: {
      may: int32(slots),
      pending: int32(slots),
      flushed: int32(slots),
      beside: int32(slots * VERSIONS),
      part: int32(slots),
      met: int32(slots),
      owners: int32(slots * VERSIONS),
      reading: int32(ACTORS_MAX * READ_MAX),
      seen: int32(ACTORS_MAX * READ_MAX),
      foundLost: int32(exports),
    },
    messages: createRing(MESSAGES),
    answers: int32(THREAD_LANE0 + ACTORS_MAX),
    connections: int32(ACTORS_MAX * 2),
    clock: int32(1 + EVENTS),
  };
}

/** A compressible page that names its slot and version; version 0 is a page of zeros. */
export function fillPage(page: Uint8Array, slot: number, version: number): void {
  const words = new Uint32Array(page.buffer, page.byteOffset, PAGE_SIZE / 4);
  if (version === 0) words.fill(0);
  else for (let i = 0; i < words.length; i++) words[i] = i % 2 === 0 ? 0x51070000 + slot : 0x7e000000 + version;
}

/** The version that a page of `slot` holds, or -1 for bytes that were never written to that slot. */
export function versionOf(page: Uint8Array, slot: number): number {
  const words = new Uint32Array(page.buffer, page.byteOffset, PAGE_SIZE / 4);
  const first = halfOf(words, 0, slot);
  const second = halfOf(words, words.length / 2, slot);
  if (first === second || second < 0) return second;
  return first === PART || first === 0 ? MIXED + second : -1;
}

/** The version of which half a page is, from word `at` on. */
function halfOf(words: Uint32Array, at: number, slot: number): number {
  const [a, b] = [words[at], words[at + 1]];
  const version = a === 0 && b === 0 ? 0 : a === 0x51070000 + slot ? b - 0x7e000000 : -1;
  if (version < 0 || version >= MIXED) return -1;
  const end = at + words.length / 2;
  for (let i = at; i < end; i += 2) if (words[i] !== a || words[i + 1] !== b) return -1;
  return version;
}

/** What a WRITE of a part carries. */
export function fillPart(page: Uint8Array, slot: number): void {
  fillPage(page, slot, PART);
}

/** What a page holds, in words, for a report. */
export function describePage(page: Uint8Array): string {
  const words = new Uint32Array(page.buffer, page.byteOffset, PAGE_SIZE / 4);
  // Of one that was mixed, the second half says of which slot it was.
  const slot = words[words.length / 2] - 0x51070000;
  const version = slot >= 0 && slot < 2 * EXPORT_NUMBERS ? versionOf(page, slot) : -1;
  const of = slot < EXPORT_NUMBERS ? '' : ' of the second export';
  if (version > 0) return `${nameOf(version)} of slot ${slot % EXPORT_NUMBERS}${of}`;
  return words[0] === 0 && versionOf(page, 0) === 0 ? 'zeros' : 'bytes that nobody wrote';
}

/** What to call a version. */
export function nameOf(version: number): string {
  if (version >= MIXED) return `a part over ${nameOf(version - MIXED)}`;
  return version === 0 ? 'zeros' : `version ${version}`;
}
