/**
 * The explorer's small world: the same shared memory as in service with tiny tables, an image in memory, connections,
 * and the record of what was acknowledged. It is made once per explorer; a cell changes its settings and its start.
 */

import { allocator } from '../../pool/allocator/index.ts';
import { createCountedBits } from '../../pool/bits.ts';
import { createDirty } from '../../pool/dirty.ts';
import { PAGE_SIZE, THREAD_LANE0, TREE_PAGES } from '../../pool/limits.ts';
import { createShared, type PoolSettings, type Shared } from '../../pool/shared.ts';
import { createTrees } from '../../pool/tree.ts';
import { int32, uint8 } from '../../shm/columns.ts';
import { createRing, type Ring } from '../../shm/mailbox.ts';
import { ACTORS_MAX } from '../run_state.ts';

/** Slots that a scenario can use, from the first slot of a tree on: a node covers all of them. */
export const SLOTS = 8;
/** The one export has the slots of the first tree, and as many of a second one. */
const PAGES = TREE_PAGES + SLOTS;

/** Where the image and the record of writes keep a slot. A scenario uses one tree, and few leaves of it, so that no two of its slots meet. */
export function placeOf(slot: number): number {
  // The second term keeps slots apart that have the same place in two leaves of a tree; for the first 64 it is 0.
  return (slot + ((slot % TREE_PAGES) >>> 6)) % SLOTS;
}
/** The page of a slot in what an image, or the disk behind it, holds. */
export function pageAt(bytes: Uint8Array, slot: number): Uint8Array {
  const at = placeOf(slot) * PAGE_SIZE;
  return bytes.subarray(at, at + PAGE_SIZE);
}

/** Versions of one slot that a scenario can tell apart; 0 is zeros. */
export const VERSIONS = 16;
const SLOT_RECORDS = 16;
/** Messages to the shrinker's thread at one time. */
const MESSAGES = 8;
const ZSPAGES = 2;
/** A path of four for each stored page, and more. */
const NODES = 66;
/** Buffers of each of the two sets. */
export const BUFFERS = 4;

export interface World {
  readonly shared: Shared;
  readonly image: SimImageMemory;
  readonly shadow: Shadow;
  /** What the main thread says to the shrinker's, and its answers by thread: an errno plus 1, or 0 for none. */
  readonly messages: Ring;
  readonly answers: Int32Array;
  /** Per connection: [1 once the client gave it up, 1 while a request of it runs between two waits]. */
  readonly connections: Int32Array;
}

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
  readonly owners: Int32Array;
  readonly reading: Int32Array;
  readonly seen: Int32Array;
}

export function worldSettings(changes: Partial<PoolSettings> & { memcgMax?: number }): PoolSettings {
  const { memcgMax, ...rest } = changes;
  return {
    poolBytes: ZSPAGES * allocator.pageBytes,
    acceptBytes: ZSPAGES * allocator.pageBytes,
    level: 1,
    sameFilled: true,
    storeIncompressible: false,
    rawMaxBytes: 0,
    rawOnReject: false,
    secondChance: false,
    strict: false,
    oracle: false,
    buffers: BUFFERS,
    lanes: ACTORS_MAX,
    exports: [{ name: 'swap0', pages: PAGES, memcg: 0 }],
    memcgs: [{ name: 'guest', max: memcgMax ?? Number.MAX_SAFE_INTEGER, writeback: true }],
    ...rest,
  };
}

/** The whole export has its bits and trees; of entries there are no more than a scenario's slots need. */
function createSmallShared(): Shared {
  const used = [{ name: 'swap0', pages: SLOTS, memcg: 0 }];
  const shared = createShared(worldSettings({ locklessWalks: true, exports: used }), SLOT_RECORDS);
  const { readers } = shared;
  const trees = createTrees([PAGES], NODES, { readers });
  const [users, lost] = [createCountedBits([PAGES]), createCountedBits([PAGES])];
  return { ...shared, trees, users, lost, dirty: createDirty([PAGES]) };
}

export function createWorld(): World {
  return {
    shared: createSmallShared(),
    image: { bytes: uint8(SLOTS * PAGE_SIZE), durable: uint8(SLOTS * PAGE_SIZE), calls: int32(1) },
    shadow: {
      may: int32(SLOTS),
      pending: int32(SLOTS),
      flushed: int32(SLOTS),
      beside: int32(SLOTS * VERSIONS),
      owners: int32(SLOTS * VERSIONS),
      reading: int32(ACTORS_MAX),
      seen: int32(ACTORS_MAX),
    },
    messages: createRing(MESSAGES),
    answers: int32(THREAD_LANE0 + ACTORS_MAX),
    connections: int32(ACTORS_MAX * 2),
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
  const zero = words[0] === 0 && words[1] === 0;
  if (!zero && words[0] !== 0x51070000 + slot) return -1;
  const version = zero ? 0 : words[1] - 0x7e000000;
  if (version < 0 || version >= VERSIONS) return -1;
  for (let i = 2; i < words.length; i++) if (words[i] !== words[i & 1]) return -1;
  return version;
}

/** What a page holds, in words, for a report. */
export function describePage(page: Uint8Array): string {
  const words = new Uint32Array(page.buffer, page.byteOffset, PAGE_SIZE / 4);
  const slot = words[0] - 0x51070000;
  if (slot >= 0 && slot < PAGES && versionOf(page, slot) > 0) return `version ${versionOf(page, slot)} of slot ${slot}`;
  return words[0] === 0 && versionOf(page, 0) === 0 ? 'zeros' : 'bytes that nobody wrote';
}
