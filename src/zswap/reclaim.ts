/**
 * Reclaim: which pages leave the pool for their image, and when. It belongs to the shrinker's thread.
 *
 *   memcg limit    a store at a limit of its memcg, or of one above it, is let in against pages of its own memcg that leave for
 *                  it (admission.ts)
 *   global worker  once a store was rejected for want of room: memcgs in turn, a batch each, down to the accept threshold
 *                  with lru "allocator" pages of the allocator in its order, whoever's they are (protocols/lru/pages.ts)
 *   background     while the host is short of memory, a share of each memcg (background.ts): a scan
 *
 * Counters and outcomes follow shrink_worker and shrink_memcg of mm/zswap.c; what to do with one victim is the entry
 * protocol's. As in the kernel the worker shrinks first and looks at its threshold second, so that whoever asks gets at
 * least one batch, also where no threshold is above what is in use. A turn is bounded, then the event loop runs.
 *
 * An image that is behind keeps the buffers of its own exports, and a memcg is passed by while all of its exports wait for
 * theirs. Where all do, the worker rests until a buffer comes back, whose taker is woken, or a call on an image ends.
 */
import type { ImageQueue } from '../image/image_queue.ts';
import * as errno from '../os/errno.ts';
import { RECLAIM } from '../pool/allocator/index.ts';
import * as buffers from '../pool/buffers.ts';
import { POOL } from '../pool/counters.ts';
import { mayWriteBack } from '../pool/export_state.ts';
import { limitedTotal } from '../pool/limited_total.ts';
import { isHome, TABLE, writesBack } from '../pool/memcg.ts';
import type { CursorKind } from '../pool/policies.ts';
import { CTL, type Shared, WORK } from '../pool/shared.ts';
import { ENOENT, ENOMEM } from '../pool/slots.ts';
import { beginNamed, beginWalk } from '../protocols/entry/victim.ts';
import { type MayEvict, shrinkPage } from '../protocols/lru/pages.ts';
import { SHRINK, type ShrinkResult } from '../protocols/protocol.ts';
import { sum } from '../shm/counters.ts';
import * as sync from '../shm/sync.ts';
import { admit } from './admission.ts';
import { Cursor } from './cursor.ts';
import { LegacyRun } from './legacy_run.ts';
import { mayEvictOf } from './may_evict.ts';
import { answerOrder } from './orders.ts';
import type { Zswap } from './zswap.ts';

/** Results of a batch, as in the kernel: 0, or nothing was written, or there is nothing to write; or for want of buffers. */
export const EAGAIN = -errno.EAGAIN;

/** MAX_RECLAIM_RETRIES of the kernel, for each memcg: batches in a row that achieved nothing, after which the worker gives up. */
const FAILURES_MAX = 16;
const BATCHES_PER_TURN = 8;
/** As many pages of the allocator, with up to three objects each: a few milliseconds. */
const PAGES_PER_TURN = 64;
const OBJECTS_MAX = 3;
/** Entries one walk may pass by; it keeps a turn at a few milliseconds. */
const ROTATE_MAX = 32_768;

interface WaitingStore {
  /** For a page of the allocator, and not for its memcg. */
  readonly page: boolean;
  readonly m: number;
  readonly thread: number;
  readonly token: number;
}

/** What a scan has come to. */
interface Scan {
  /** Entries that it has looked at. */
  readonly looked: number;
  readonly written: number;
  /** There is nothing more to be had for now: the list is empty, there are no buffers, or it has come to pages in use. */
  readonly stopped: boolean;
}

export class Reclaim {
  private readonly zswap: Zswap;
  private readonly shared: Shared;
  private readonly queues: readonly ImageQueue[];
  private readonly batch: number;
  /** First come, first served. Bounded by the orders that lanes may have under way. */
  private waiting: WaitingStore[] = [];
  private readonly cursor: Cursor;
  private readonly legacy: LegacyRun | null;
  private readonly mayEvict: MayEvict;
  private failures = 0;
  /** Of the last walk: entries that it passed by because they had their second chance coming, and bytes of objects written back. */
  rotated = 0;
  writtenBytes = 0;
  /** Of the same: victims, and what they came to. */
  private scanned = 0;
  private written = 0;
  private refused = 0;
  private busy = 0;

  /** `batch`: victims of one walk. */
  constructor(zswap: Zswap, queues: readonly ImageQueue[], batch: number, cursor: CursorKind) {
    this.zswap = zswap;
    this.shared = zswap.shared;
    this.queues = queues;
    this.batch = batch;
    this.mayEvict = mayEvictOf(this.shared);
    this.cursor = new Cursor(this.shared.memcgs, 'fixed');
    this.legacy = cursor === 'legacy' ? new LegacyRun(this.shared.memcgs) : null;
  }

  /** A store of `thread` waits at the limit of memcg `m`, or of the pool; it is answered in one of the next turns. */
  request(m: number, thread: number, token: number, page: boolean): void {
    this.waiting.push({ m, thread, token, page });
  }

  /** Lets waiting stores in or rejects them. True while some still wait. */
  answerStores(): boolean {
    let batches = 0;
    let next = 0;
    /** By memcg: why there is nothing more to be had in this turn. */
    const failed = new Map<number, number>();
    while (next < this.waiting.length && batches < BATCHES_PER_TURN) {
      const { m, thread, token, page } = this.waiting[next++];
      if (page) {
        batches++;
        answerOrder(this.shared, thread, token, -this.reclaimFor(m));
        continue;
      }
      const result = admit(this.zswap, m, () => {
        const before = failed.get(m);
        if (before !== undefined) return before;
        batches++;
        const result = this.shrinkMemcg(m);
        if (result !== 0) failed.set(m, result);
        return result;
      });
      answerOrder(this.shared, thread, token, -result);
    }
    this.waiting = this.waiting.slice(next);
    return this.waiting.length > 0;
  }

  /** A page of the allocator for a store of memcg `m`, which was below its limits; the pool's is not looked at again. */
  private reclaimFor(m: number): number {
    if (shrinkPage(this.zswap, this.mayEvict) === RECLAIM.FREED) return admit(this.zswap, m, () => EAGAIN);
    this.zswap.count('reject_reclaim_fail');
    return EAGAIN;
  }

  /** shrink_worker: true while there is more that can be done at once. */
  work(): boolean {
    const asked = sync.load(this.shared.control, CTL.WORK);
    if (asked === 0) return false;
    if (this.zswap.protocols.lru === 'allocator') return this.workOnPages(asked);
    const isShort = (): boolean => this.isShort(asked);
    if (this.legacy !== null) return this.legacy.turn(this, BATCHES_PER_TURN, isShort) ?? this.rest();
    const memcgs = this.shared.memcgs.control[TABLE.HOMES];
    // Memcgs in a row that had nothing to write, or no buffers to write it to.
    let empty = 0;
    let behind = 0;
    for (let batches = 0; batches < BATCHES_PER_TURN && empty + behind < memcgs; ) {
      const m = this.cursor.next();
      const result = this.isBehind(m) ? ENOMEM : this.shrinkMemcg(m);
      if (result === ENOENT) empty++;
      else if (result === ENOMEM) behind++;
      else {
        batches++;
        empty = 0;
        behind = 0;
        if (result === 0 || this.rotated > 0) this.failures = 0;
        else if (++this.failures >= FAILURES_MAX * memcgs) return this.rest();
        if (!this.isShort(asked)) return this.rest();
      }
    }
    // A whole round over the memcgs: another one would find the same.
    if (empty === memcgs) return this.rest();
    return empty + behind < memcgs;
  }

  /** The same where reclaim goes by pages of the allocator, as to 6.4: they are everybody's, and there is one list. */
  private workOnPages(asked: number): boolean {
    // A page may have objects of any export.
    const isBehind = (x: number): boolean => this.lacksBuffers(x, OBJECTS_MAX);
    for (let pages = 0; pages < PAGES_PER_TURN; pages++) {
      if (this.queues.every(({ x }) => isBehind(x))) return false;
      const result = shrinkPage(this.zswap, this.mayEvict);
      if (result === RECLAIM.NONE) return this.rest();
      if (result === RECLAIM.FREED) this.failures = 0;
      else {
        this.zswap.count('reject_reclaim_fail');
        if (++this.failures >= FAILURES_MAX) return this.rest();
      }
      if (!this.isShort(asked)) return this.rest();
    }
    return true;
  }

  /** Exports whose pages may be on the list of memcg `m`. */
  private exportsOf(m: number): number[] {
    const { memcgs } = this.shared;
    return this.queues.flatMap(({ x }) => (isHome(memcgs, m, x) ? [x] : []));
  }

  private rest(): boolean {
    this.failures = 0;
    sync.store(this.shared.control, CTL.WORK, 0);
    return false;
  }

  /** Whether what was asked for is still above its accept threshold. */
  private isShort(asked: number): boolean {
    const { control, counters, entries, rawEntries } = this.shared;
    const { acceptBytes, poolBytes } = this.zswap.settings;
    if ((asked & WORK.POOL) !== 0 && limitedTotal(this.shared) > acceptBytes) return true;
    if ((asked & WORK.ENTRIES) === 0) return false;
    // Same-filled pages are on no list and stay, so what they take is no room that writeback could make.
    const filled = sum(counters, POOL.same_filled_pages);
    const room = entries.capacity - 1 - rawEntries;
    const kept = rawEntries === 0 ? 0 : sync.load(control, CTL.KEPT_RAW);
    return sum(counters, POOL.stored_pages) - kept - filled > ((room - filled) * acceptBytes) / poolBytes;
  }

  /** No export of the memcg could take a batch of buffers, and each has calls on its image under way, whose ends make turns. */
  isBehind(m: number): boolean {
    const exports = this.exportsOf(m);
    // One that has just gone offline has none, and nothing to wait for.
    return exports.length > 0 && exports.every((x) => this.lacksBuffers(x));
  }

  /** The same of one export. */
  lacksBuffers(x: number, wanted = this.batch): boolean {
    return buffers.buffersFor(this.shared.writebackBuffers, x) < wanted && !this.queues[x].idle;
  }

  /** Whether anything of the list of `m` may be written back. */
  canShrink(m: number): boolean {
    const { memcgs, states } = this.shared;
    // Reclaim did not know memcgs when it went by pages.
    if (this.zswap.protocols.lru === 'allocator') return false;
    // Where no export may write back any more, in a stop say, whoever walked the list would only turn it over.
    return writesBack(memcgs, m) && this.exportsOf(m).some((x) => mayWriteBack(states, x));
  }

  /** shrink_memcg: walks up to a batch of the memcg's coldest entries. Rotated ones count as work done. */
  shrinkMemcg(m: number): number {
    this.rotated = 0;
    this.writtenBytes = 0;
    if (!this.canShrink(m)) return ENOENT;
    // Entries that only get their second chance don't use up the batch: after one round over the list all have had it.
    this.walk(m, this.batch, this.batch + Math.min(this.zswap.lru.count[m], ROTATE_MAX), false);
    if (this.written > 0) return 0;
    if (this.refused > 0) return ENOMEM;
    return this.scanned === 0 && this.rotated === 0 ? ENOENT : EAGAIN;
  }

  /** Writes entry `e` back, which belonged on list `m` a moment ago, if it still has the same life (its generation) and slot. */
  shrinkNamed(m: number, e: number, life: number, x: number, slot: number): ShrinkResult {
    const { zswap } = this;
    const { entry, busy } = zswap.protocols;
    beginNamed(zswap, e, life, x, slot);
    const result = entry.shrinkOne(zswap, m, busy);
    if (result !== SHRINK.WRITTEN && result !== SHRINK.GONE) zswap.count('reject_reclaim_fail');
    return result;
  }

  /** zswap_shrinker_scan: looks at up to `entries` of the memcg, and stops at one in use, because there the warm ones begin. */
  scan(m: number, entries: number): Scan {
    if (!this.canShrink(m)) return { looked: 0, written: 0, stopped: true };
    this.walk(m, entries, entries, true);
    const looked = this.scanned + this.rotated;
    return { looked, written: this.written, stopped: looked < entries || this.refused > 0 || this.busy > 0 };
  }

  /** Tries up to `victims`, and looks at no more than `look` entries. */
  private walk(m: number, victims: number, look: number, stopsAtBusy: boolean): void {
    const { zswap } = this;
    const { entry, busy } = zswap.protocols;
    const oneExport = this.exportsOf(m).length === 1;
    this.rotated = 0;
    this.scanned = 0;
    this.written = 0;
    this.refused = 0;
    this.busy = 0;
    beginWalk(zswap);
    let passed = 0;
    while (this.scanned < victims && this.scanned + this.rotated + passed < look) {
      const result = entry.shrinkOne(zswap, m, busy);
      if (result === SHRINK.EMPTY) break;
      if (result === SHRINK.ROTATED) {
        this.rotated++;
        continue;
      }
      if (result === SHRINK.PASSED) {
        passed++;
        continue;
      }
      this.scanned++;
      if (result === SHRINK.WRITTEN) {
        this.written++;
        this.writtenBytes += zswap.lastBytes;
      } else zswap.count('reject_reclaim_fail');
      if (result === SHRINK.ENOMEM) {
        this.refused++;
        // The next page may be of an export that has buffers. Those of this one don't use up the batch: with a list full of
        // pages of a stalled image before them, the others would come up a batch at each rest.
        zswap.walk.full[zswap.walk.x] = 1;
      } else if (result === SHRINK.EEXIST) this.busy++;
      if ((this.refused > 0 && oneExport) || (this.busy > 0 && stopsAtBusy)) break;
    }
  }
}
