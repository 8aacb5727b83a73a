/**
 * A lane: what the devices of one thread share. It never blocks; whatever has to wait is parked here and looked at again
 * when the lane is woken (a pin dropped, a buffer freed, an answer of the shrinker).
 */

import { IMAGE } from '../image/counters.ts';
import type { ReadableImage } from '../image/image.ts';
import type { Loop } from '../os/loop.ts';
import type { Shared } from '../pool/shared.ts';
import { C } from './counters.ts';
import { type Answer, OrderBook } from './orders.ts';
import { Turns } from './turns.ts';
import type { Zswap } from './zswap.ts';

/** Something that waits. resume() tries again, and parks itself again if it must; spurious calls are harmless. */
export interface Parkable {
  resume(): void;
  /** False until its wait was counted, so that one that parks again is not counted again. Without it, others count. */
  counted?: boolean;
}

interface ImageRead {
  readonly slot: number;
  readonly count: number;
  readonly dst: Uint8Array;
  readonly at: number;
  readonly done: (errno: number) => void;
}

/** Requests that are looked at in one go. Those of an image that stalls may be thousands, and others are served in between. */
const RESUMED_PER_TURN = 256;

export class Lane {
  readonly zswap: Zswap;
  readonly shared: Shared;
  readonly loop: Loop;
  readonly turns: Turns;
  private readonly images: ReadableImage[];
  private readonly book: OrderBook;
  private readonly readsMax: number;
  /** First in, first out: what parks again goes to the end. */
  private parked: Parkable[] = [];
  /** How many of the first ones are still to be looked at since the last wake-up. */
  private due = 0;
  private scheduled = false;
  private reading: number[];
  private readonly waitingReads: ImageRead[][];

  /** `readsMax`: reads of one image that this lane has under way, so that a stalled image can't take the whole pool. */
  constructor(zswap: Zswap, images: readonly ReadableImage[], readsMax: number, loop: Loop) {
    this.zswap = zswap;
    this.loop = loop;
    this.turns = new Turns(loop);
    this.shared = zswap.shared;
    this.images = [...images];
    this.book = new OrderBook(zswap.shared, zswap.thread);
    this.readsMax = readsMax;
    this.reading = images.map(() => 0);
    this.waitingReads = images.map(() => []);
  }

  /** Called on every wake-up. */
  look(): void {
    this.book.look();
    // A wake-up does not say what it is for, so each looks at all that wait by then.
    this.due = this.parked.length;
    this.resumeDue();
  }

  private resumeDue(): void {
    const now = this.parked.splice(0, Math.min(this.due, RESUMED_PER_TURN));
    this.due -= now.length;
    for (const waiting of now) waiting.resume();
    if (this.due === 0 || this.scheduled) return;
    this.scheduled = true;
    this.loop.defer(() => {
      this.scheduled = false;
      this.resumeDue();
    });
  }

  /** One entry per request that waits, or slice of a READ: bounded by the requests in flight, and by their read buffers. */
  park(waiting: Parkable): void {
    if (waiting.counted === false) {
      waiting.counted = true;
      this.zswap.counters[C.parks]++;
    }
    this.parked.push(waiting);
  }

  hasRoom(x: number): boolean {
    return this.book.hasRoom(x);
  }

  /** Sends an order to the shrinker, now or as soon as the export has room for it. */
  order(kind: number, x: number, slot: number, n: number, answer: Answer): void {
    if (this.book.hasRoom(x, kind)) this.book.send(kind, x, slot, n, answer);
    else this.park({ resume: () => this.order(kind, x, slot, n, answer) });
  }

  /** Reads pinned slots from the image; `done` is called later, with 0 or an error. */
  readImage(x: number, slot: number, count: number, dst: Uint8Array, at: number, done: (errno: number) => void): void {
    this.waitingReads[x].push({ slot, count, dst, at, done });
    this.startReads(x);
  }

  private startReads(x: number): void {
    const waiting = this.waitingReads[x];
    while (waiting.length > 0 && this.reading[x] < this.readsMax) {
      const read = waiting.shift();
      if (read === undefined) return;
      this.reading[x]++;
      this.zswap.counters[IMAGE.image_reads] += read.count;
      this.images[x].read(read.slot, read.count, read.dst, read.at, (errno) => {
        this.reading[x]--;
        if (errno !== 0) this.zswap.counters[IMAGE.image_read_errors]++;
        read.done(errno);
        this.startReads(x);
      });
    }
  }

  /** From the next call on. */
  useImage(x: number, image: ReadableImage): void {
    this.images[x] = image;
  }

  close(): void {
    for (const image of this.images) image.close();
  }
}
