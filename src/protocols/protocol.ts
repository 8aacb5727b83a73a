/**
 * What an invalidation protocol is: four interfaces, a file per implementation, chosen by `protocol.*` in the config.
 * Steps are labelled as in the mails and papers that discuss them (W1 to W5, a to g, INV, ST, LD, SO): an explorer shows
 * a trace in these labels, and `debug.delay` stalls a thread at one.
 *
 * Protocols see the tree, the LRU, pins and entries, and nothing of sockets, files or logs. They are synchronous: no
 * await, no callback, no I/O. Every lock, compare-and-swap and numbered step goes through shm/sync.ts.
 *
 * The contract they lean on (a client of the pool must keep it; an explorer breaks it on purpose):
 *   E1  publish, drop and load run with the slot pinned by the caller.
 *   E2  invalidate runs when nobody uses or pins the slot, and the slot is not used again before it returned.
 *   E3  shrinkOne is the only one that starts without a pin: it must try to get one.
 *   E4  swapoff first brings every slot to unused and unpinned.
 *
 * Lock order: pin -> tree.lock -> lru.lock -> allocator. Writeback alone starts at lru.lock, so it must drop that before
 * it touches a tree, and validate again what it believed.
 */
import type { Entries } from '../pool/entries.ts';
import type { Lru } from '../pool/lru.ts';
import type { Slots } from '../pool/slots.ts';
import type { Trees } from '../pool/tree.ts';
import type { Place } from '../pool/tree_walk.ts';
import type { EntryDeclaration, PartnerDeclaration, SwitchSettings } from './declaration.ts';
import type { Walk } from './walk.ts';

/** The pool as protocols see it, one per thread. */
export interface ProtocolPool {
  readonly entries: Entries;
  readonly trees: Trees;
  readonly lru: Lru;
  readonly slots: Slots;
  readonly secondChance: boolean;
  readonly protocols: Protocols;
  /** Number of this thread, and the read sections of all. */
  readonly thread: number;
  readonly readers: Int32Array;
  /** Where this thread's last walk without a lock ended. */
  readonly place: Place;
  /** What this thread's walk of an LRU list is at. */
  readonly walk: Walk;
  /** Live entries per export; kept only for swapoff protocols that count entries. */
  readonly live: Int32Array;
  /** Frees an entry that its caller took out of the tree: off the LRU, object, charge, entry. */
  free(e: number): void;
  /** Decompresses (or fills) entry `e` into `page`, 4096 bytes. False if the object does not decompress. */
  decompress(e: number, page: Uint8Array): boolean;
  /** A free writeback buffer for a page of export `x`, or 0. */
  takePage(x: number): number;
  givePage(buffer: number): void;
  page(buffer: number): Uint8Array;
  /** Makes `buffer` the content of the pinned slot and enqueues its image write; returns at once. */
  startWrite(r: number, buffer: number): void;
  /** Pins for writeback, once; the busy protocol decides what to do when that fails. */
  pinForWriteback(x: number, slot: number): number;
  count(what: 'writeback_busy' | 'writeback_invalidated' | 'reject_reclaim_fail' | 'decompress_fail'): void;
}

export const LOAD_OK = 0;
export const LOAD_MISS = 1;
export const LOAD_EIO = 2;

/** What shrinkOne made of its victim. */
export const SHRINK = {
  EMPTY: 0,
  WRITTEN: 1,
  ROTATED: 2,
  EEXIST: 3,
  GONE: 4,
  ENOMEM: 5,
  EIO: 6,
  PASSED: 7,
} as const;
export type ShrinkResult = (typeof SHRINK)[keyof typeof SHRINK];

export interface EntryProtocol {
  readonly name: string;
  readonly declaration: EntryDeclaration;
  /**
   * Nobody takes an entry out of its tree without the slot's pin. Absent where writeback does, after it has dropped the pin:
   * then whoever finds an entry under the pin can't count on it to stay.
   */
  readonly pinKeepsEntry?: true;
  /** Puts a filled entry at its slot, dropping the old one, then onto the LRU. False: no tree node; `e` stays yours. */
  publish(pool: ProtocolPool, e: number): boolean;
  /** Drops what is stored at the slot, for a store that was rejected. */
  drop(pool: ProtocolPool, x: number, slot: number): void;
  /** Copies the slot's entry into `page` and keeps it. */
  load(pool: ProtocolPool, x: number, slot: number, page: Uint8Array): number;
  /** Takes what is stored at the slot out of the tree; who frees it is the protocol's matter. */
  invalidate(pool: ProtocolPool, x: number, slot: number): void;
  /** Empties slots [first, end) for swapoff in one go; absent where each slot is invalidated like any other. */
  invalidateArea?(pool: ProtocolPool, x: number, first: number, end: number): void;
  /** Writes back one victim of memcg `m`. */
  shrinkOne(pool: ProtocolPool, m: number, busy: BusyProtocol): ShrinkResult;
}

export interface InvalidateProtocol {
  readonly name: string;
  readonly declaration: PartnerDeclaration;
  /** Trees are walked without their lock, so nodes are given back only after a grace period. */
  readonly lockless: boolean;
  /** Frees what is stored at the slot, if anything is. */
  invalidate(pool: ProtocolPool, x: number, slot: number): void;
}

/** What writeback does when the slot of its victim is in use. */
export interface BusyProtocol {
  readonly name: string;
  readonly declaration: PartnerDeclaration;
  /** Writeback waits for pins, so it has to be told when one has its page. */
  readonly waits: boolean;
  /** The slot record (> 0), or EEXIST / ENOENT / ENOMEM. */
  pin(pool: ProtocolPool, x: number, slot: number): number;
  /** A request has pinned the slot. True: onFaultDone is to be called before the pin is dropped. */
  onFault?(pool: ProtocolPool, x: number, slot: number): boolean;
  onFaultDone?(pool: ProtocolPool, x: number, slot: number): void;
}

/** swapoff as a protocol: how trees are freed while writeback may still run. */
export interface SwapoffProtocol {
  readonly name: string;
  readonly declaration: PartnerDeclaration;
  /** The live entries of each export are counted in `live`. */
  readonly countsEntries: boolean;
  /**
   * Writeback has picked entry `e` of this slot, under the LRU lock, and is going to use the slot's tree. False: it must
   * not. True: `release` is called once, after the last use of the tree, with no lock held; it may free the entry.
   */
  hold(pool: ProtocolPool, tree: number, e: number): boolean;
  release(pool: ProtocolPool, tree: number, e: number): void;
  /** Changes the count of an entry under its tree's lock, for an entry protocol that has counts. Returns the new one. */
  count(pool: ProtocolPool, e: number, by: number): number;
  /**
   * Discards slots [first, end) of export `x`, which the caller has claimed, so that no pin is in them. Called slice by
   * slice until the whole export is empty.
   */
  discard(pool: ProtocolPool, x: number, first: number, end: number, invalidate: InvalidateProtocol): void;
  /** Frees the trees of export `x`, after the last discard. Writeback may still have its fingers in one. */
  freeTrees(pool: ProtocolPool, x: number): void;
}

export interface Protocols {
  readonly entry: EntryProtocol;
  readonly invalidate: InvalidateProtocol;
  readonly busy: BusyProtocol;
  readonly swapoff: SwapoffProtocol;
  readonly switches: SwitchSettings;
}
