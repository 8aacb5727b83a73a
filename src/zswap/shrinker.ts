/**
 * The shrinker: decides what is written back, and carries out what lanes order. One per process, in its own thread
 * (or beside the lane in inline mode).
 *
 *   global limit   while full: memcgs in turn, a batch each, until the total is at the accept threshold
 *   memcg limit    a store at its memcg's limit waits for one batch of its own memcg
 *   maintenance    compaction, and memory of free zspages back to the system
 *
 * Counters and outcomes follow shrink_worker and shrink_memcg of mm/zswap.c; what to do with one victim is the entry
 * protocol's. A turn is bounded, then the event loop runs, so that image completions and orders are never kept waiting.
 */
import * as buffers from '../pool/buffers.ts';
import { compact } from '../pool/compaction.ts';
import { THREAD_SHRINKER } from '../pool/limits.ts';
import { CTL, type Shared } from '../pool/shared.ts';
import { totalSize } from '../pool/zsmalloc.ts';
import { SHRINK } from '../protocols/protocol.ts';
import { beginWalk } from '../protocols/victim.ts';
import { C, sum } from '../shm/counters.ts';
import { pop, RECORD_WORDS, wake } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { Cleaning, type CleanResult, heldSlots } from './cleaner.ts';
import { Flusher } from './flusher.ts';
import type { ImageQueue } from './image_queue.ts';
import { answerOrder, ORDER } from './orders.ts';
import type { Zswap } from './zswap.ts';

/** Shrink results, as in the kernel: 0, or nothing was written, or there is nothing to write. */
export const EAGAIN = -11;
export const ENOENT = -2;

/** MAX_RECLAIM_RETRIES of the kernel: batches in a row that achieved nothing, after which the worker gives up. */
const FAILURES_MAX = 16;
const BATCHES_PER_TURN = 8;
/** Entries one walk may pass by; it keeps a turn at a few milliseconds. */
const ROTATE_MAX = 32_768;
const COMPACT_PER_TURN = 8;
/** Free zspages kept resident for the next stores, in bytes; what is beyond goes back to the system. */
const KEEP_RESIDENT = 8 * 2 ** 20;
const TRIM_PER_TURN = 64;
const MAINTENANCE_MS = 250;

export type ReleaseMemory = (segment: Uint8Array, offset: number, bytes: number) => void;

interface ShrinkRequest {
  readonly m: number;
  readonly thread: number;
  readonly token: number;
}

export class Shrinker {
  private readonly zswap: Zswap;
  private readonly shared: Shared;
  private readonly queues: readonly ImageQueue[];
  private readonly batch: number;
  private readonly release: ReleaseMemory;
  private readonly record = new Int32Array(RECORD_WORDS);
  /** By export; none where FLUSH is not offered. */
  private readonly flushers: readonly Flusher[];
  private requests: ShrinkRequest[] = [];
  private cleanings: Cleaning[] = [];
  private cursor = 0;
  private failures = 0;
  /** Entries that the last walk passed by because they had their second chance coming. */
  private rotated = 0;
  private scheduled = false;
  private draining = false;
  private readonly maintenance: NodeJS.Timeout;

  constructor(zswap: Zswap, queues: readonly ImageQueue[], batch: number, release: ReleaseMemory) {
    this.zswap = zswap;
    this.shared = zswap.shared;
    this.queues = queues;
    this.batch = batch;
    this.release = release;
    zswap.onWrite = (x, slot, buffer) => queues[x].push('writeback', slot, 1, buffer, null);
    for (const queue of queues) queue.onDone = () => this.schedule();
    const { dirty } = this.shared;
    const flusher = (x: number): Flusher[] =>
      dirty === null ? [] : [new Flusher(dirty, x, (slots, done) => this.clean(x, slots, ({ errno }) => done(errno)))];
    this.flushers = queues.flatMap(({ x }) => flusher(x));
    this.maintenance = setInterval(() => this.maintain(), MAINTENANCE_MS);
  }

  /** Called on every wake-up: takes the orders in, then works. */
  look(): void {
    while (pop(this.shared.orders, this.record, this.shared.boxes)) this.accept(this.record);
    for (const flusher of this.flushers) flusher.start();
    for (const queue of this.queues) queue.pump();
    this.turn();
  }

  close(): void {
    clearInterval(this.maintenance);
    for (const queue of this.queues) queue.close();
  }

  private accept(record: Int32Array): void {
    const [kind, x, slot, n, thread, token] = record;
    const answer = (errno: number): void => answerOrder(this.shared, thread, token, errno);
    if (kind === ORDER.WRITE) this.queues[x].push('write', slot, 1, n, answer);
    else if (kind === ORDER.PUNCH) this.queues[x].push('punch', slot, n, 0, answer);
    else if (kind === ORDER.ZERO) this.queues[x].push('zero', slot, n, 0, answer);
    else if (kind === ORDER.FLUSH) this.flushers[x].request(0, this.zswap.settings.exports[x].pages, answer);
    else if (kind === ORDER.PERSIST) this.flushers[x].request(slot, slot + n, answer);
    else if (kind === ORDER.SHRINK) this.requests.push({ m: n, thread, token });
    else throw new Error(`unknown order ${kind}`);
  }

  private clean(x: number, slots: ArrayLike<number>, done: (result: CleanResult) => void): Cleaning {
    const cleaning = new Cleaning(this.zswap, this.queues[x], slots, (result) => {
      this.cleanings = this.cleanings.filter((other) => other !== cleaning);
      done(result);
      this.schedule();
    });
    this.cleanings.push(cleaning);
    this.schedule();
    return cleaning;
  }

  /** Writes everything stored of export `x` to its image, for a clean stop; parked pages get another try first. */
  drain(x: number, onProgress: (done: number, total: number) => void): Promise<CleanResult> {
    // From here on nothing leaves the pool by writeback: what is stored is copied, and then the process ends.
    this.draining = true;
    this.queues[x].retryParked();
    const slots = heldSlots(this.zswap, x);
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | null = null;
      const cleaning = this.clean(x, slots, (result) => {
        if (timer !== null) clearInterval(timer);
        onProgress(slots.length, slots.length);
        resolve(result);
      });
      timer = setInterval(() => onProgress(cleaning.progress, slots.length), 1000);
    });
  }

  /** For swapoff: copies slot 0, or everything stored of export `x`, to its image. */
  copyOut(x: number, all: boolean, done: (errno: number) => void): void {
    this.queues[x].retryParked();
    const slots = all ? heldSlots(this.zswap, x) : [0];
    this.clean(x, slots, ({ errno }) => done(errno));
  }

  /** For swapoff: punches slots after everything that is queued. */
  punch(x: number, first: number, count: number, done: (errno: number) => void): void {
    this.queues[x].push('punch', first, count, 0, done);
    this.queues[x].pump();
  }

  /** Runs a turn soon; many calls make one turn. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.look();
    });
  }

  private turn(): void {
    let more = false;
    for (const cleaning of [...this.cleanings]) more = cleaning.turn() || more;
    this.answerShrinks();
    more = this.work() || more;
    for (const queue of this.queues) queue.pump();
    if (more) this.schedule();
  }

  /** One batch of the memcg for each store that waits at its limit; several stores of one memcg share it. */
  private answerShrinks(): void {
    const results = new Map<number, number>();
    const requests = this.requests;
    this.requests = [];
    for (const request of requests) {
      const result = results.get(request.m) ?? this.shrinkMemcg(request.m);
      results.set(request.m, result);
      answerOrder(this.shared, request.thread, request.token, result === 0 ? 0 : -result);
    }
  }

  /** shrink_worker: true while there is more that can be done at once. */
  private work(): boolean {
    const { control, zs } = this.shared;
    if (this.draining || sync.load(control, CTL.WORK) === 0) return false;
    const target = this.zswap.settings.acceptBytes;
    for (let batches = 0; batches < BATCHES_PER_TURN; batches++) {
      if (totalSize(zs) <= target) return this.rest();
      // Few buffers: the image is behind. Each of its calls that ends schedules a turn.
      if (buffers.freeBuffers(this.shared.writebackBuffers) < this.batch && !this.imagesIdle()) return false;
      const m = this.cursor;
      this.cursor = (this.cursor + 1) % this.zswap.settings.memcgs.length;
      const result = this.shrinkMemcg(m);
      if (result === 0 || this.rotated > 0) this.failures = 0;
      else if (++this.failures >= FAILURES_MAX * this.zswap.settings.memcgs.length) return this.rest();
    }
    this.compactIfSparse();
    return true;
  }

  private rest(): boolean {
    this.failures = 0;
    sync.store(this.shared.control, CTL.WORK, 0);
    return false;
  }

  private imagesIdle(): boolean {
    return this.queues.every((queue) => queue.idle);
  }

  /** shrink_memcg: walks up to a batch of the memcg's coldest entries. Rotated ones count as work done. */
  shrinkMemcg(m: number): number {
    const { zswap } = this;
    const { entry, busy } = zswap.protocols;
    if (!zswap.settings.memcgs[m].writeback) return ENOENT;
    let scanned = 0;
    let written = 0;
    this.rotated = 0;
    beginWalk();
    // Entries that only get their second chance don't use up the batch: after one round over the list all have had it.
    const look = this.batch + Math.min(zswap.lru.count[m], ROTATE_MAX);
    while (scanned < this.batch && scanned + this.rotated < look) {
      const result = entry.shrinkOne(zswap, m, busy);
      if (result === SHRINK.EMPTY) break;
      if (result === SHRINK.ROTATED) {
        this.rotated++;
        continue;
      }
      scanned++;
      if (result === SHRINK.WRITTEN) written++;
      else zswap.count('reject_reclaim_fail');
      if (result === SHRINK.ENOMEM) break;
    }
    if (scanned === 0 && this.rotated === 0) return ENOENT;
    return written > 0 ? 0 : EAGAIN;
  }

  /** Written-back objects leave holes; when an eighth of the pool is holes, whole zspages can be had by moving objects. */
  private compactIfSparse(): void {
    const total = totalSize(this.shared.zs);
    const used = sum(this.shared.counters, C.compressed_bytes);
    if (total - used > total / 8)
      this.zswap.counters[C.compacted_zspages] += compact(this.zswap.zspool, COMPACT_PER_TURN);
  }

  private maintain(): void {
    this.compactIfSparse();
    this.zswap.counters[C.trimmed_zspages] += this.zswap.zspool.trim(KEEP_RESIDENT, TRIM_PER_TURN, this.release);
    // Cleanings wait for pins whose holders may not know of them; a look now and then costs little.
    if (this.cleanings.length > 0) this.schedule();
  }
}

/** Asks the shrinker for its global worker; called by a lane whose store met the pool limit. */
export function requestWork(shared: Shared): void {
  if (sync.exchange(shared.control, CTL.WORK, 1) === 0) wake(shared.boxes, THREAD_SHRINKER);
}
