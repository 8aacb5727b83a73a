/**
 * The image queue of one export: every write and punch of the image, in order per slot. It lives in the shrinker thread.
 *
 *   pushed ->  | queued, first in first out |  -> batch (distinct slots, one kind) -> runs of adjacent slots -> image
 *
 * Batches run one after the other, so two operations on one slot can't overtake each other; inside a batch all slots
 * differ and runs go in parallel. Sorting into runs happens here and nowhere else.
 *
 * A written-back page whose slot got newer content meanwhile is not written at all; whoever has to make a slot durable
 * queues a copy of his own (cleaner.ts). One whose write failed stays parked as its slot's page, so loads find it, and is
 * tried again with back-off. A request's write that failed is answered, and what it may have torn is written again.
 *
 * What is queued at once is bounded by the buffers (one per page) and by the orders that lanes may have under way.
 */

import type { Loop, Timer } from '../os/loop.ts';
import * as buffers from '../pool/buffers.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { ENDED, type Slots } from '../pool/slots.ts';
import { IMAGE } from './counters.ts';
import type { WritableImage } from './image.ts';

/**
 * Operations in one batch, at most. The next begins when the last of this one has ended, so a large one lets more pages meet
 * their neighbours, and a small one a FLUSH go sooner: four runs of the default length.
 */
const BATCH = 256;
/** What passes by itself passes soon, as a full disk that somebody cleans may not; six tries a minute cost nothing. */
const RETRY_FIRST_MS = 100;
const RETRY_LAST_MS = 10_000;
/**
 * Operations that are done and still in the array; beyond that they are cut off, also when the queue is never empty. Cutting
 * moves what is left, so it is not done for each.
 */
const DONE_MAX = 1024;

/**
 * writeback: a page that left the pool. write: a page that a request sends, its slot pinned until it is answered.
 * clean: a copy of a page that stays in the pool. mark: no call, but a word to whoever waits for all before it.
 */
type Kind = 'writeback' | 'write' | 'clean' | 'punch' | 'zero' | 'sync' | 'mark';

interface Operation {
  readonly kind: Kind;
  readonly slot: number;
  readonly count: number;
  /** Writeback buffer or request buffer, by kind. */
  readonly buffer: number;
  readonly done: ((errno: number) => void) | null;
}

export interface QueueOptions {
  readonly runPages: number;
  /** Calls on the image at the same time, at most. */
  readonly parallel: number;
  /** Bytes between two syncs of an image that is not direct. */
  readonly syncEvery: number;
  readonly loop: Loop;
  /** Told of every failed call: to be logged once, counted here. */
  readonly onError: (what: string, errno: number) => void;
}

/** The thread that a queue belongs to, as a queue sees it. */
interface QueueHost {
  readonly shared: Pick<Shared, 'writebackBuffers' | 'requestBuffers'>;
  readonly slots: Slots;
  readonly counters: Float64Array;
  /** The image has the page, or nobody needs it any more. */
  givePage(buffer: number): void;
}

export class ImageQueue {
  readonly x: number;
  private readonly host: QueueHost;
  /** Another one is used from the next call on. */
  image: WritableImage;
  private readonly o: QueueOptions;
  private queue: Operation[] = [];
  private head = 0;
  private parked: Operation[] = [];
  private retryMs = RETRY_FIRST_MS;
  private retryTimer: Timer | null = null;
  private runs: Operation[][] = [];
  /** Runs that the image has. */
  private readonly running = new Set<readonly Operation[]>();
  private unsynced = 0;
  /** Called after each call on the image: a buffer is free, or a cleaning can go on. */
  onDone: (() => void) | null = null;

  constructor(host: QueueHost, x: number, image: WritableImage, options: QueueOptions) {
    this.host = host;
    this.x = x;
    this.image = image;
    this.o = options;
  }

  get idle(): boolean {
    return this.running.size === 0 && this.runs.length === 0 && this.head === this.queue.length;
  }

  /** Pages whose write failed and that wait for another try. */
  get parkedPages(): number {
    return this.parked.length;
  }

  /** Calls `found` with the slot of each written-back page that the image may not have yet, also of one that was replaced. */
  eachWriteback(found: (slot: number) => void): void {
    const look = (op: Operation): void => {
      if (op.kind === 'writeback') found(op.slot);
    };
    for (let at = this.head; at < this.queue.length; at++) look(this.queue[at]);
    for (const runs of [this.running, this.runs]) for (const run of runs) run.forEach(look);
    this.parked.forEach(look);
  }

  /** Queues an operation; nothing starts before pump(). The number queued is bounded by buffers and orders. */
  push(kind: Kind, slot: number, count: number, buffer: number, done: ((errno: number) => void) | null): void {
    this.queue.push({ kind, slot, count, buffer, done });
  }

  /** Puts parked pages back into the queue now; without it they wait for their timer. */
  retryParked(): void {
    this.retryTimer?.cancel();
    this.retryTimer = null;
    for (const op of this.parked.splice(0)) this.queue.push(op);
    this.pump();
  }

  /** Starts what can be started. */
  pump(): void {
    while (this.running.size < this.o.parallel) {
      if (this.runs.length === 0 && !this.nextBatch()) return;
      const run = this.runs.pop();
      if (run !== undefined) this.start(run);
    }
  }

  /** Cuts the next batch into runs. False while one is running, or when there is none. */
  private nextBatch(): boolean {
    if (this.running.size > 0) return false;
    const batch: Operation[] = [];
    const slots = new Set<number>();
    while (this.head < this.queue.length && batch.length < BATCH) {
      const op = this.queue[this.head];
      if (op.kind === 'writeback' && !this.host.slots.pageIs(this.x, op.slot, op.buffer)) {
        this.head++;
        this.finishWriteback(op);
        continue;
      }
      if (batch.length > 0 && (slots.has(op.slot) || !this.together(batch[0], op))) break;
      this.head++;
      slots.add(op.slot);
      batch.push(op);
    }
    this.cutDone();
    if (batch.length === 0) return false;
    this.runs = isPageWrite(batch[0]) ? this.cutRuns(batch) : batch.map((op) => [op]);
    return true;
  }

  private cutDone(): void {
    if (this.head < DONE_MAX && this.head < this.queue.length) return;
    this.queue.splice(0, this.head);
    this.head = 0;
  }

  /** Page writes go together. A punch, a zero-out or a sync is a batch of its own: it spans slots. */
  private together(a: Operation, b: Operation): boolean {
    return isPageWrite(a) && isPageWrite(b);
  }

  /** Highest slots first, because runs are taken from the end. */
  private cutRuns(batch: Operation[]): Operation[][] {
    batch.sort((a, b) => a.slot - b.slot);
    const runs: Operation[][] = [];
    let run: Operation[] = [];
    for (const op of batch) {
      const last = run[run.length - 1];
      if (last !== undefined && (op.slot !== last.slot + 1 || run.length >= this.o.runPages)) {
        runs.push(run);
        run = [];
      }
      run.push(op);
    }
    runs.push(run);
    return runs.reverse();
  }

  /** Pages of the page cache that an operation has made dirty, as far as it has. */
  private cachedPages({ kind, count }: Operation, pages: number): number {
    if (kind === 'mark' || kind === 'sync') return 0;
    if (kind === 'punch') return this.image.punches ? 0 : count;
    return kind === 'zero' ? count : pages;
  }

  private start(run: Operation[]): void {
    const [first] = run;
    this.running.add(run);
    const finish = (errno: number): void => {
      this.running.delete(run);
      this.count(first.kind, run.length, errno);
      if (errno !== 0) this.o.onError(first.kind, errno);
      // A run that failed is tried page by page, so that one bad page fails alone.
      if (errno !== 0 && run.length > 1) for (const op of run) this.runs.push([op]);
      else for (const op of run) this.finish(op, errno);
      this.afterWrite(this.cachedPages(first, run.length) * PAGE_SIZE);
    };
    if (first.kind === 'mark') finish(0);
    else if (first.kind === 'punch' || first.kind === 'zero') this.image[first.kind](first.slot, first.count, finish);
    else if (first.kind === 'sync') {
      this.unsynced = 0;
      this.image.sync(finish);
    } else {
      this.host.counters[IMAGE.image_runs]++;
      this.image.write(
        first.slot,
        run.map((op) => this.pageOf(op)),
        finish,
      );
    }
  }

  /** What became of a call. A stop lasts as long as the image does something (server/stop.ts), and a try that failed is nothing. */
  private count(kind: Kind, pages: number, errno: number): void {
    const { counters } = this.host;
    if (kind === 'sync') counters[IMAGE.image_sync_errors] += errno === 0 ? 0 : 1;
    else if (kind === 'punch' || kind === 'zero')
      counters[errno === 0 ? IMAGE.image_punches : IMAGE.image_punch_errors]++;
    else if (errno !== 0) counters[IMAGE.image_write_errors]++;
    else if (kind !== 'mark') counters[IMAGE.image_writes] += pages;
  }

  /** In buffered mode the page cache is written out every syncEvery bytes: swap must not refill the RAM it emptied. */
  private afterWrite(bytes: number): void {
    this.unsynced += bytes;
    if (!this.image.direct && this.unsynced >= this.o.syncEvery) {
      this.unsynced = 0;
      this.queue.splice(this.head, 0, { kind: 'sync', slot: 0, count: 0, buffer: 0, done: null });
    }
    this.pump();
    this.onDone?.();
  }

  private pageOf(op: Operation): Uint8Array {
    const { shared } = this.host;
    return buffers.pageOf(op.kind === 'writeback' ? shared.writebackBuffers : shared.requestBuffers, op.buffer);
  }

  private finish(op: Operation, errno: number): void {
    if (op.kind !== 'writeback') {
      // The slot's parked page, if any, is older than what the image just got, and must not be retried over it. After a
      // clean this would be wrong: newer content may have been stored and written back since the copy was made.
      if (op.kind === 'write' && errno === 0) this.host.slots.dropPageOf(this.x, op.slot);
      else if (op.kind === 'write') this.writeOldAgain(op.slot);
      op.done?.(errno);
      return;
    }
    if (errno === 0) {
      this.retryMs = RETRY_FIRST_MS;
      this.finishWriteback(op);
      return;
    }
    this.host.counters[IMAGE.writeback_failed]++;
    this.parked.push(op);
    if (this.retryTimer === null) {
      this.retryTimer = this.o.loop.after(this.retryMs, () => {
        this.retryTimer = null;
        this.retryMs = Math.min(this.retryMs * 2, RETRY_LAST_MS);
        this.retryParked();
      });
    }
  }

  /**
   * A failed write may have torn what the image holds. Where that is the slot's page, the slot must not come to rest on it:
   *   1. A is written back   2. a rejected WRITE of B pins the slot   3. A's image write ends; the pin keeps the page
   *   4. B's image write fails in the middle   5. the pin goes, the page with it, and the slot reads half of each
   */
  private writeOldAgain(slot: number): void {
    const buffer = this.host.slots.unretire(this.x, slot);
    if (buffer !== 0) this.push('writeback', slot, 1, buffer, null);
  }

  private finishWriteback(op: Operation): void {
    const ended = this.host.slots.writebackDone(this.x, op.slot, op.buffer);
    if (ended === ENDED.SUPERSEDED) this.host.counters[IMAGE.writeback_wasted]++;
    if (ended !== ENDED.RETIRED) this.host.givePage(op.buffer);
  }

  close(): void {
    this.retryTimer?.cancel();
    this.image.close();
  }
}

function isPageWrite(op: Operation): boolean {
  return op.kind === 'writeback' || op.kind === 'write' || op.kind === 'clean';
}
