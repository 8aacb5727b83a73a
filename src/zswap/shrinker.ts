/**
 * The shrinker: carries out what lanes order, and has pages written back (reclaim.ts). One per process, in its own thread
 * (or beside the lane in inline mode). Its own matter is maintenance: compaction, and memory of free zspages back to the
 * system. A turn is bounded, then the event loop runs, so that image completions and orders are never kept waiting.
 */

import type { ImageQueue } from '../image/image_queue.ts';
import type { Loop, Timer } from '../os/loop.ts';
import { allocatorOf, poolTotal, type Release } from '../pool/allocator/index.ts';
import { setCount, testBit } from '../pool/bits.ts';
import * as buffers from '../pool/buffers.ts';
import { POOL } from '../pool/counters.ts';
import type { CursorKind } from '../pool/policies.ts';
import { CTL, type Shared } from '../pool/shared.ts';
import { sum } from '../shm/counters.ts';
import { pop, RECORD_WORDS } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { Background, POLL_MS } from './background.ts';
import { Cleaning, type CleanResult } from './cleaner.ts';
import { C } from './counters.ts';
import { Flusher } from './flusher.ts';
import { HeldSlots } from './held_slots.ts';
import { MovedPages } from './moved.ts';
import { OnDemand } from './on_demand.ts';
import { answerOrder, ORDER } from './orders.ts';
import { Proactive } from './proactive.ts';
import { Reclaim } from './reclaim.ts';
import { Reports } from './reports.ts';
import { vouchesTooMuch } from './vouch.ts';
import type { Zswap } from './zswap.ts';

const COMPACT_PER_TURN = 8;
/** Free zspages kept resident for the next stores, in bytes; what is beyond goes back to the system. */
const KEEP_RESIDENT = 8 * 2 ** 20;
/** 64 MiB a second, in turns of a few milliseconds: what a TRIM of everything frees is not shown as ours for long. */
const TRIM_PER_TURN = 16 * 2 ** 20;
const MAINTENANCE_MS = 250;
/** How often a drain tries again what the image has refused, and the pause before the first time; later ones are longer. */
const DRAIN_RETRIES = 3;
const DRAIN_RETRY_MS = 200;
const PROGRESS_MS = 1000;

interface ShrinkerOptions {
  /** Victims of one walk. */
  readonly batch: number;
  /** Which memcg the global worker takes next: `fixed` unless given. */
  readonly cursor?: CursorKind;
  /** Whether the host is short of memory; never, unless given. Asked once in POLL_MS while shrinker_enabled is on. */
  readonly isPressed?: () => boolean;
  /** Has the marker of export `x` say what is known, then calls back with 0 or an error; of strict servers. */
  readonly vouch?: (x: number, done: (errno: number) => void) => void;
  /** Gives memory back to the system. */
  readonly release: Release;
  readonly loop: Loop;
}

/** How far a drain has come: pages that are on the image, all of them, and those it refused in the try at hand. */
type DrainProgress = (done: number, total: number, failed: number) => void;

/** Where no marker vouches for anything. */
const answered = (_x: number, done: (errno: number) => void): void => done(0);

export class Shrinker {
  private readonly zswap: Zswap;
  private readonly shared: Shared;
  private readonly queues: readonly ImageQueue[];
  private readonly reclaim: Reclaim;
  /** What memory.reclaim asks for. */
  readonly proactive: Proactive;
  /** What is asked for by name or by age. */
  readonly onDemand: OnDemand;
  /** What agents say of slots. */
  readonly reports: Reports;
  private readonly moved: MovedPages;
  private readonly release: Release;
  private readonly record = new Int32Array(RECORD_WORDS);
  /** By export; none where FLUSH is not offered. */
  private readonly flushers: readonly Flusher[];
  private cleanings: Cleaning[] = [];
  /** Of drains and swapoffs, one for each export at most. */
  private gatherings: HeldSlots[] = [];
  private scheduled = false;
  private readonly loop: Loop;
  private readonly maintenance: Timer;
  private readonly background: Background;
  private readonly polls: Timer;

  constructor(zswap: Zswap, queues: readonly ImageQueue[], options: ShrinkerOptions) {
    const { batch, cursor = 'fixed', isPressed = () => false, vouch = answered, release, loop } = options;
    this.zswap = zswap;
    this.shared = zswap.shared;
    this.queues = queues;
    this.reclaim = new Reclaim(zswap, queues, batch, cursor);
    this.proactive = new Proactive(zswap, this.reclaim, loop, () => this.schedule());
    this.onDemand = new OnDemand(zswap, this.reclaim, queues, { loop, schedule: () => this.schedule() });
    this.moved = new MovedPages(zswap.memcgs, this.reclaim, loop, () => this.schedule());
    this.reports = new Reports(
      zswap,
      (x, first, count, done) => queues[x].push('punch', first, count, 0, done),
      (m) => this.moved.note(m),
      () => this.schedule(),
    );
    this.background = new Background(zswap, this.reclaim, batch, isPressed);
    this.release = release;
    this.loop = loop;
    for (const queue of queues) queue.onDone = () => this.schedule();
    const { dirty } = this.shared;
    const clean = (x: number) => (slots: Uint32Array, done: (errno: number) => void) =>
      void this.clean(x, slots, ({ errno }) => done(errno));
    const settle = (x: number) => (done: (errno: number) => void) =>
      vouchesTooMuch(this.shared, x) ? vouch(x, done) : done(0);
    this.flushers = dirty === null ? [] : queues.map(({ x }) => new Flusher(dirty, x, clean(x), settle(x)));
    this.maintenance = loop.every(MAINTENANCE_MS, () => this.maintain());
    this.polls = loop.every(POLL_MS, () => this.poll());
  }

  /** Called on every wake-up: takes the orders in, then works. */
  look(): void {
    while (pop(this.shared.orders, this.record, this.shared.boxes)) this.accept(this.record);
    for (const flusher of this.flushers) flusher.start();
    for (const queue of this.queues) queue.pump();
    this.turn();
  }

  close(): void {
    this.maintenance.cancel();
    this.proactive.close();
    this.onDemand.close();
    this.moved.close();
    this.polls.cancel();
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
    else if (kind === ORDER.SHRINK) this.reclaim.request(n, thread, token, false);
    else if (kind === ORDER.RECLAIM) this.reclaim.request(n, thread, token, true);
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

  /**
   * Writes everything stored of export `x` to its image, for a clean stop; parked pages get another try first. Its state
   * forbids writeback by now: what is stored is copied, and stays until the process ends.
   */
  drain(x: number, onProgress: DrainProgress, done: (result: CleanResult) => void): void {
    this.queues[x].retryParked();
    this.gather(x, (slots) => {
      const held = this.withoutLost(x, slots);
      const attempt = (slots: Uint32Array, tries: number): void => {
        this.cleanAll(x, slots, held.length, onProgress, (result) => {
          if (result.failed.length === 0 || tries > DRAIN_RETRIES) done(result);
          // What failed is tried again: an error may pass, and after this nobody has the pages any more. A sync is not, it can't be.
          else this.loop.after(tries * DRAIN_RETRY_MS, () => attempt(result.failed, tries + 1));
        });
      };
      attempt(held, 1);
    });
  }

  /** Of what is lost already there is nothing to write, and who ends the export counts it (end_export.ts). */
  private withoutLost(x: number, slots: Uint32Array): Uint32Array {
    const { lost } = this.shared;
    if (setCount(lost, x) === 0) return slots;
    let count = 0;
    for (const slot of slots) if (!testBit(lost, x, slot)) slots[count++] = slot;
    return slots.subarray(0, count);
  }

  private gather(x: number, done: (slots: Uint32Array) => void): void {
    const gathering = new HeldSlots(this.zswap, this.queues[x], (slots) => {
      this.gatherings = this.gatherings.filter((other) => other !== gathering);
      done(slots);
    });
    this.gatherings.push(gathering);
    this.schedule();
  }

  private cleanAll(
    x: number,
    slots: Uint32Array,
    total: number,
    onProgress: DrainProgress,
    done: (result: CleanResult) => void,
  ): void {
    const cleaning = this.clean(x, slots, (result) => {
      timer.cancel();
      report();
      done(result);
    });
    // A try counts what earlier ones have done.
    const report = (): void => onProgress(total - slots.length + cleaning.progress, total, cleaning.failures);
    const timer = this.loop.every(PROGRESS_MS, report);
  }

  /** For swapoff: copies slot 0, or everything stored of export `x`, to its image. */
  copyOut(x: number, all: boolean, done: (errno: number) => void): void {
    this.queues[x].retryParked();
    const copy = (slots: ArrayLike<number>): unknown => this.clean(x, slots, ({ errno }) => done(errno));
    if (all) this.gather(x, copy);
    else copy([0]);
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
    this.loop.defer(() => {
      this.scheduled = false;
      this.look();
    });
  }

  private turn(): void {
    let more = false;
    for (const gathering of this.gatherings) more = gathering.turn() || more;
    // Those that have least to do take buffers first: a FUA of a page does not wait until the FLUSH of an export has found room
    // for all that it copies. Each leaves half of them to the others of its export, or FUAs one after another would leave none.
    const smallestFirst = [...this.cleanings].sort((a, b) => a.left - b.left);
    for (const cleaning of smallestFirst) {
      const alone = smallestFirst.every((other) => other === cleaning || other.left === 0 || other.x !== cleaning.x);
      const free = buffers.buffersFor(this.shared.requestBuffers, cleaning.x);
      more = (alone ? cleaning.turn() : cleaning.turn(Math.max(1, free >>> 1))) || more;
    }
    more = this.reclaim.answerStores() || more;
    more = this.work() || more;
    more = this.proactive.turn() || more;
    more = this.onDemand.turn() || more;
    more = this.reports.turn() || more;
    more = this.moved.turn() || more;
    for (const queue of this.queues) queue.pump();
    if (more) this.schedule();
  }

  private work(): boolean {
    const limits = this.reclaim.work();
    const more = this.background.work() || limits;
    if (more) this.compactIfSparse();
    return more;
  }

  /** Written-back objects leave holes; when an eighth of the pool is holes, whole zspages can be had by moving objects. */
  private compactIfSparse(): void {
    const total = poolTotal(this.shared.zs);
    const used = sum(this.shared.counters, POOL.compressed_bytes);
    if (total - used > total / 8)
      this.zswap.counters[C.compacted_zspages] += this.zswap.objects.compact(COMPACT_PER_TURN);
  }

  private poll(): void {
    if (this.background.poll()) this.schedule();
  }

  private maintain(): void {
    this.compactIfSparse();
    const pages = TRIM_PER_TURN / allocatorOf(this.shared.zs).pageBytes;
    this.zswap.counters[C.trimmed_zspages] += this.zswap.objects.trim(KEEP_RESIDENT, pages, this.release);
    // Cleanings wait for pins whose holders may not know of them, and reclaim for slot records; a look now and then costs little.
    const asked = this.proactive.waits || this.onDemand.waits || this.reports.waits;
    const waits = this.cleanings.length > 0 || asked;
    if (waits || sync.load(this.shared.control, CTL.WORK) !== 0) this.schedule();
  }
}
