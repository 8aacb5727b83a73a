// What tests of the pool share: a small pool with everything around it, pages of three kinds, and the checks for leaks.
import type { Test } from 'tap';
import { poolTotal } from '#src/pool/allocator/index.js';
import type { Zsmalloc } from '#src/pool/allocator/zsmalloc.js';
import { takenBuffers } from '#src/pool/buffers.js';
import { checkPool, type PoolCheck } from '#src/pool/check.js';
import { type Claim, type Claims, claim, claimsHeld, noClaim } from '#src/pool/claims.js';
import { POOL } from '#src/pool/counters.js';
import { highWater, isLive } from '#src/pool/entries.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { onlineRows, TABLE } from '#src/pool/memcg.js';
import { CTL, createShared, type PoolSettings, type Shared } from '#src/pool/shared.js';
import type { SlotTable } from '#src/pool/slot_table.js';
import { nodesInUse } from '#src/pool/tree.js';
import { type Combination, chooseProtocols } from '#src/protocols/index.js';
import type { Protocols } from '#src/protocols/protocol.js';
import { sum } from '#src/shm/counters.js';
import type { OnWrite } from '#src/zswap/outward.js';
import { STORED, store } from '#src/zswap/store.js';
import { Zswap } from '#src/zswap/zswap.js';
import { checkLru } from './check_lru.ts';

export const MIB = 2 ** 20;
export const KINDS = ['same', 'text', 'random'] as const;
export type Kind = (typeof KINDS)[number];

/** One export and one memcg without a limit, unless told otherwise. */
export function poolSettings(over: Partial<PoolSettings> = {}): PoolSettings {
  return {
    poolBytes: 4 * MIB,
    acceptBytes: 3 * MIB,
    level: 1,
    sameFilled: true,
    storeIncompressible: true,
    rawMaxBytes: MIB,
    rawOnReject: true,
    heuristic: 'none',
    shrinkerEnabled: false,
    strict: false,
    checksums: false,
    buffers: 16,
    lanes: 2,
    exports: [{ name: 'a', pages: 65_536, memcg: 0 }],
    memcgs: [{ name: 'm', max: Number.POSITIVE_INFINITY, writeback: true }],
    ...over,
  };
}

export const NEWEST: Combination = {
  entry: 'pin-validate',
  invalidate: 'empty-check',
  busy: 'skip-eexist',
  swapoff: 'pin-first',
};

/** The pool as a thread sees it whose written-back pages go where the test says; until it does, nowhere. */
export class TestZswap extends Zswap {
  onWrite: OnWrite;

  constructor(shared: Shared, protocols: Protocols, thread: number, onWrite: OnWrite = () => undefined) {
    super(shared, protocols, thread, (x, slot, buffer) => this.onWrite(x, slot, buffer));
    this.onWrite = onWrite;
  }
}

/** A pool, as the lane `thread` sees it. */
export function newZswap(over: Partial<PoolSettings> = {}, thread = 2): TestZswap {
  return new TestZswap(createShared(poolSettings(over)), chooseProtocols(NEWEST), thread);
}

/** The pool's memory as zsmalloc has it, for a test that looks into it. */
/** checkPool without its pauses. */
export function checkNow(shared: Shared, steps?: number): PoolCheck | null {
  const run = checkPool(shared, steps);
  for (;;) {
    const { done, value } = run.next();
    if (done === true) return value;
  }
}

export function zsmallocOf({ shared: { zs } }: Zswap): Zsmalloc {
  if (zs.kind !== 'zsmalloc') throw new Error(`the pool is of ${zs.kind}`);
  return zs;
}

/** A page that differs for each number: one repeated word, bytes that compress to a third, or noise. */
export function makePage(kind: Kind, number: number): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  const words = new Uint32Array(page.buffer);
  if (kind === 'same') return new Uint8Array(words.fill(number).buffer);
  let state = (Math.imul(number, 0x9e3779b1) ^ 0x2545f491) | 1;
  const noisy = kind === 'random' ? words.length : words.length / 4;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = i < noisy ? state : i;
  }
  words[1] = number;
  return page;
}

/** Pins the slot, does `work` with its record, unpins. */
export function pinned<T>(z: Zswap, x: number, slot: number, work: (r: number) => T): T {
  const r = z.slots.pin(x, slot);
  if (r <= 0) throw new Error(`slot ${slot} could not be pinned: ${r}`);
  try {
    return work(r);
  } finally {
    z.slots.unpin(r);
  }
}

/** Stores a page as a lane does, and answers what store() answered. */
export function put(z: Zswap, slot: number, page: Uint8Array, x = 0, checked = false): number {
  return pinned(z, x, slot, (r) => {
    const result = store(z, x, slot, page, 0, checked);
    if (result === STORED) z.slots.dropPage(r);
    return result;
  });
}

/** What load() answered, and the page. */
export function take(z: Zswap, slot: number, x = 0): { result: number; page: Uint8Array } {
  const page = new Uint8Array(PAGE_SIZE);
  return { result: pinned(z, x, slot, (r) => z.load(r, x, slot, page, 0)), page };
}

/** An image in memory, written at once when the shrinker starts a write. */
export function memoryImage(z: TestZswap): Map<number, Uint8Array> {
  const image = new Map<number, Uint8Array>();
  z.onWrite = (x, slot, buffer) => {
    image.set(slot, z.page(buffer).slice());
    endWrite(z, x, slot, buffer);
  };
  return image;
}

/** What the image queue does when the write of a page has ended. */
export function endWrite(z: Zswap, x: number, slot: number, buffer: number): void {
  if (z.slots.writebackDone(x, slot, buffer)) z.givePage(buffer);
}

export function liveEntries(s: Shared): number {
  let live = 0;
  for (let e = 1; e < highWater(s.entries); e++) if (isLive(s.entries, e)) live++;
  return live;
}

/** Records on the free list; a record that is neither there nor in use has leaked. */
export function freeRecords(t: SlotTable): number {
  let free = 0;
  for (let r = t.control[1]; r !== 0; r = t.next[r]) free++;
  return free;
}

/** Over the rows of memcgs that are in use. */
function sumOf({ memcgs }: Shared, column: Int32Array | Float64Array): number {
  let sum = 0;
  for (let m = 0; m < memcgs.control[TABLE.END]; m++) sum += column[m];
  return sum;
}

/** Everything that a page in the pool takes, and that must be back when no page is in it. */
export function held(s: Shared): Record<string, number> {
  const counted = { stored: 0, sameFilled: 0, raw: 0, keptRaw: 0, bytes: 0 };
  counted.stored = sum(s.counters, POOL.stored_pages);
  counted.sameFilled = sum(s.counters, POOL.same_filled_pages);
  counted.raw = sum(s.counters, POOL.stored_incompressible_pages);
  counted.keptRaw = s.control[CTL.KEPT_RAW];
  counted.bytes = sum(s.counters, POOL.compressed_bytes);
  return {
    ...counted,
    entries: liveEntries(s),
    poolBytes: poolTotal(s.zs),
    nodes: nodesInUse(s.trees),
    records: s.slotTable.next.length - 1 - freeRecords(s.slotTable),
    linked: sumOf(s, s.lru.count),
    charged: sumOf(s, s.lru.charged),
    buffers: takenBuffers(s.writebackBuffers),
    claims: claimsHeld(s.claims),
  };
}

/** A claim of slots [first, end) that stands. */
export function standing(c: Claims, x: number, first: number, end: number, thread: number): Claim {
  const mine = noClaim();
  if (!claim(c, x, first, end, thread, mine)) throw new Error(`slots ${first} to ${end} of ${x} are claimed`);
  return mine;
}

export function checkLists(s: Shared): void {
  for (const m of onlineRows(s.memcgs)) checkLru(s.lru, s.entries, m);
}

/** No entry, object, node, record, buffer or claim is left behind. */
export function checkEmpty(t: Test, s: Shared): void {
  checkLists(s);
  t.strictSame(
    Object.entries(held(s)).filter(([, count]) => count !== 0),
    [],
    'an empty pool holds nothing',
  );
}
