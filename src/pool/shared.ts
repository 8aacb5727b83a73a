/**
 * Everything that threads share, made once by the main thread and handed to each worker as it is (structured clone of
 * views keeps the memory shared). Sizes are bounds: the memory is reserved, and costs what is touched.
 */
import { assert } from '../shm/assert.ts';
import { int32, uint8, uint32, wideInt32 } from '../shm/columns.ts';
import { type Counters, createCounters } from '../shm/counters.ts';
import { createMailboxes, createRing, type Mailboxes, type Ring } from '../shm/mailbox.ts';
import type { Clock } from './access_time.ts';
import { type AllocatorName, allocatorOf, createObjects, type ObjectMemory } from './allocator/index.ts';
import type { SlotRange } from './attribution.ts';
import { type Bits, createCountedBits } from './bits.ts';
import { type Buffers, createBuffers } from './buffers.ts';
import { type Claims, createClaims } from './claims.ts';
import { createDirty, type Dirty } from './dirty.ts';
import { createEntries, type Entries, entryBytes, highWater } from './entries.ts';
import { createAccounts, type ExportAccounts, type WritebackBudget } from './export_accounts.ts';
import { EXPORTS_MAX, LANES_MAX, MEMCGS_MAX, PAGE_SIZE, THREAD_LANE0, THREAD_MAIN, THREADS_MAX } from './limits.ts';
import { createLists, type Lists } from './list_links.ts';
import { createMemcgs, type Memcgs } from './memcg.ts';
import { fillMemcgs } from './memcg_start.ts';
import type { DeadPolicy, Heuristic, Reclaimer } from './policies.ts';
import { rawRoom } from './raw_room.ts';
import { createSlotTable, type SlotTable } from './slot_table.ts';
import { createTrees, NODE, NODE_BYTES, nodesFor, nodesInUse, type Trees } from './tree.ts';

/** What the pool is set to; plain values, the same in every thread. */
export interface PoolSettings {
  /** No page is stored any more if false; what is stored stays. True unless given. */
  readonly enabled?: boolean;
  /** Of compressed objects; zsmalloc unless given. */
  readonly allocator?: AllocatorName;
  /** Others that it can be switched to. */
  readonly otherAllocators?: readonly AllocatorName[];
  /** The allocator has a list of its pages, and reclaim goes by that. */
  readonly listsPages?: boolean;
  readonly poolBytes: number;
  readonly acceptBytes: number;
  readonly level: number;
  readonly sameFilled: boolean;
  readonly storeIncompressible: boolean;
  readonly rawMaxBytes: number;
  readonly rawOnReject: boolean;
  readonly heuristic: Heuristic;
  /** The worker unless given. */
  readonly reclaimer?: Reclaimer;
  /** What becomes of pages whose slots agents say are free; ignore unless given. */
  readonly dead?: DeadPolicy;
  /** shrinker_enabled: pages are written back while the host is short of memory. */
  readonly shrinkerEnabled: boolean;
  readonly strict: boolean;
  /** Keep a checksum per slot and compare what is read with it. */
  readonly checksums: boolean;
  readonly buffers: number;
  readonly lanes: number;
  /** Trees are indexed by the whole slot number, not relative to their first slot. */
  readonly absoluteIndexing?: boolean;
  /** An invalidate protocol walks trees without their lock. */
  readonly locklessWalks?: boolean;
  /** Each dereference of an entry checks that it is alive (debug.oracle). */
  readonly checkEntries?: boolean;
  /**
   * Per export: slots, the index in `memcgs` of the one that it begins with, and ranges of slots that have another; or that an
   * agent says whose its slots are.
   */
  readonly exports: readonly {
    readonly name: string;
    readonly pages: number;
    readonly memcg: number;
    readonly ranges?: readonly SlotRange[];
    /** What may be written back on demand in an interval; without it as much as is asked for. */
    readonly budget?: WritebackBudget;
    readonly agent?: boolean;
    /** Every change is on the disk before its answer (strict durability). */
    readonly writeThrough?: boolean;
  }[];
  /** What the tree of memcgs begins with, by path; at run time the tree says what is (memcg.ts). */
  readonly memcgs: readonly { readonly name: string; readonly max: number; readonly writeback: boolean }[];
}

/** Words of `control`. */
export const CTL = {
  /** 1 while the pool is full: from the limit down to the accept threshold. */
  FULL: 0,
  /** Pages that onRejectNoWriteback: raw keeps. Those that are stored raw because they do not get smaller have limits of their own. */
  KEPT_RAW: 1,
  /** What stores were short of, as bits of WORK: asks the shrinker for its global worker. */
  WORK: 2,
  /** The slot record that the scrub has pinned, or 0: it moves nothing, so that sums mean something beside it. */
  SCRUBBED: 3,
} as const;
const CTL_WORDS = Object.keys(CTL).length;
assert(
  Object.values(CTL).every((word) => word < CTL_WORDS),
  'words of `control` have no gaps',
);

export const WORK = {
  /** Memory for objects. */
  POOL: 1,
  /** Entries, or tree nodes for them. */
  ENTRIES: 2,
} as const;

/** Bytes of a row of `swapHeaders`. */
export const SWAP_HEADER_BYTES = 48;

export interface Shared {
  readonly settings: PoolSettings;
  readonly entries: Entries;
  /** Entries that only pages kept raw may have; 0 where every page has an entry. */
  readonly rawEntries: number;
  /** Same-filled pages that may be stored as such; Infinity where every page has an entry. */
  readonly filledMax: number;
  readonly trees: Trees;
  readonly lru: Lists;
  readonly memcgs: Memcgs;
  readonly zs: ObjectMemory;
  readonly slotTable: SlotTable;
  readonly users: Bits;
  readonly lost: Bits;
  /** With strict durability: what the image does not hold durably. Else null. */
  readonly dirty: Dirty | null;
  readonly claims: Claims;
  /** Per export: checksum per slot, a wide column, when there is an oracle; else null. */
  readonly sums: readonly (readonly Int32Array[])[] | null;
  /** Per export: whether its marker vouches for what was flushed (zswap/vouch.ts); of strict servers. */
  readonly vouch: Int32Array;
  /** Per export: its state (export_state.ts says who changes it, and when it may be asked). */
  readonly states: Int32Array;
  /** Per export: live entries, kept for swapoff protocols that wait for them. */
  readonly live: Int32Array;
  /** Per export: connections that are using it. */
  readonly clients: Int32Array;
  /** Per export: what slot 0 says of itself (swap_header.ts). */
  readonly swapHeaders: Uint8Array;
  /** Per export: the lock of the swap device (invalidateUnderDeviceLock). */
  readonly deviceLock: Int32Array;
  /** Read sections of the threads (rcu.ts). */
  readonly readers: Int32Array;
  /** Pages parked between pool and image. */
  readonly writebackBuffers: Buffers;
  /** Pages that requests send to the image. */
  readonly requestBuffers: Buffers;
  readonly boxes: Mailboxes;
  readonly counters: Counters;
  readonly accounts: ExportAccounts;
  /** Moved by the main thread alone. */
  readonly clock: Clock;
  readonly control: Int32Array;
  /** Per export: IMAGE_FLAG_WORDS words that belong to the image (image/descriptor_image.ts). */
  readonly imageFlags: readonly Int32Array[];
  /** Lanes to shrinker: image operations, shrink requests, flushes. */
  readonly orders: Ring;
  /** Shrinker to each lane: how its orders ended. */
  readonly answers: readonly Ring[];
}

/** Words that an image has for itself, the same for all threads that open it. */
export const IMAGE_FLAG_WORDS = 2;

/**
 * Orders that one lane may have with the shrinker, divided among the exports; also the capacity of its ring of answers, which
 * so always has room for one more. Twice the buffers of the default config (two sets of 1024), each of which may have one under way.
 */
export const ORDERS_PER_LANE = 4096;
/** Orders that are sent and not yet taken. A lane that finds no room keeps its order and tries again, so any number will do. */
const ORDERS_IN_RING = 2 * ORDERS_PER_LANE;
/**
 * Slots in use by requests at once; a page that is on its way to the image keeps a record besides. Where
 * all are taken pins wait: 256 MiB of pages are under way then, for 2 MiB of records.
 */
const SLOT_RECORDS = 65536;
/** Of several exports each has half of this for itself at least, with one being written and one being filled. */
const BUFFERS_PER_EXPORT = 4;
/** An object is hardly ever smaller than this, so more entries than pool / 128 are not needed; same-filled pages share them. */
const SMALL_OBJECT = 128;
/** Of a table that does not hold every page: what same-filled pages may take of it; the rest is for pages that can leave. */
const FILLED_PART = 3 / 4;
/** So many entries also for the smallest pool: 2.4 MB of tables, touched as they are used. */
const ENTRIES_MIN = 65536;
/** A column of Int32 is at most 512 MiB then, and 2^27 objects of SMALL_OBJECT bytes are 16 GiB of pool. */
const ENTRIES_MAX = 2 ** 27;
assert(ENTRIES_MAX + 1 + THREADS_MAX < NODE, 'an entry and a node are told apart by one bit');
assert(Number.isInteger(Math.log2(ORDERS_PER_LANE)), 'rings are powers of two');
assert(ORDERS_PER_LANE > 2 * EXPORTS_MAX, 'half of the orders, divided, is one for each export at least');

/** `requestRecords`: slots in use by requests at once. `memcgs`, `threads`: rows of the table of memcgs, and who counts in it. */
export function createShared(
  settings: PoolSettings,
  requestRecords = SLOT_RECORDS,
  memcgs = MEMCGS_MAX,
  threads = THREAD_LANE0 + Math.max(1, settings.lanes),
): Shared {
  const pages = settings.exports.map((x) => x.pages);
  const totalPages = pages.reduce((a, b) => a + b, 0);
  // Raw pages are kept beside what limits allow, so that others leave them their room, of the allocator and of the table.
  const rawPages = settings.rawOnReject ? Math.min(totalPages, Math.floor(settings.rawMaxBytes / PAGE_SIZE)) : 0;
  const allocators = [settings.allocator ?? 'zsmalloc', ...(settings.otherAllocators ?? [])];
  const roomOf = (name: AllocatorName): number => settings.poolBytes + rawRoom(name, rawPages);
  const usual = Math.max(ENTRIES_MIN, Math.ceil(settings.poolBytes / SMALL_OBJECT));
  // A store takes its entry before the old one goes, so each thread may hold one more than there are slots.
  const capacity = Math.min(totalPages, ENTRIES_MAX, usual + rawPages) + 1 + THREADS_MAX;
  const holdsAll = capacity > totalPages;
  const nodes = nodesFor(pages, capacity, settings.absoluteIndexing === true);
  const readers = int32(THREADS_MAX);
  const ranges = settings.exports.reduce((sum, one) => sum + (one.ranges?.length ?? 0), 0);
  const agents = settings.exports.map((one) => (one.agent === true ? one.pages : 0));
  const stamped = agents.some((count) => count > 0);
  const lanes = Math.max(1, settings.lanes);
  const buffers = pages.length === 1 ? settings.buffers : Math.max(settings.buffers, pages.length * BUFFERS_PER_EXPORT);
  const shared: Shared = {
    settings,
    entries: createEntries(capacity, stamped),
    rawEntries: holdsAll ? 0 : rawPages,
    filledMax: holdsAll ? Number.POSITIVE_INFINITY : Math.floor((capacity - rawPages) * FILLED_PART),
    trees: createTrees(pages, nodes, {
      absolute: settings.absoluteIndexing === true,
      readers: settings.locklessWalks === true ? readers : null,
    }),
    lru: createLists(memcgs),
    memcgs: createMemcgs(memcgs, threads, ranges, agents),
    zs: createObjects(allocators, roomOf, capacity, settings.listsPages === true),
    slotTable: createSlotTable(requestRecords + 2 * buffers, pages.length),
    users: createCountedBits(pages),
    lost: createCountedBits(pages),
    dirty: settings.strict ? createDirty(pages) : null,
    claims: createClaims(pages.length),
    sums: settings.checksums ? pages.map((count) => wideInt32(count)) : null,
    vouch: int32(pages.length),
    states: int32(pages.length),
    live: int32(pages.length),
    clients: int32(pages.length),
    swapHeaders: uint8(pages.length * SWAP_HEADER_BYTES),
    deviceLock: int32(pages.length),
    readers,
    writebackBuffers: createBuffers(buffers, pages.length),
    requestBuffers: createBuffers(buffers, pages.length),
    boxes: createMailboxes(THREADS_MAX),
    counters: createCounters(THREADS_MAX),
    accounts: createAccounts(pages.length),
    clock: uint32(1),
    control: int32(CTL_WORDS),
    imageFlags: pages.map(() => int32(IMAGE_FLAG_WORDS)),
    orders: createRing(ORDERS_IN_RING),
    answers: Array.from({ length: Math.min(lanes, LANES_MAX) }, () => createRing(ORDERS_PER_LANE)),
  };
  fillMemcgs(shared, THREAD_MAIN);
  return shared;
}

/** Bytes of metadata in use: entries and their handles up to the high-water mark, tree nodes, columns of the allocator's pages. */
export function metadataBytes(s: Shared): number {
  return (
    highWater(s.entries) * entryBytes(s.entries) +
    nodesInUse(s.trees) * NODE_BYTES +
    allocatorOf(s.zs).metadata(s.zs, highWater(s.entries))
  );
}
