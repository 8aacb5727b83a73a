// One lane with nothing around it: an image that answers when told to, requests that note how they ended, and the orders that
// a shrinker would get. Nothing runs by itself, so that a test says what comes when.

import type { DeviceRequest, ExportInfo } from 'node-nbd-server';
import type { Test } from 'tap';
import { NODE_LOOP } from '#src/os/loop.js';
import { freeBuffers } from '#src/pool/buffers.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import type { PoolSettings } from '#src/pool/shared.js';
import { pop, RECORD_WORDS } from '#src/shm/mailbox.js';
import { Lane } from '#src/zswap/lane.js';
import { answerOrder } from '#src/zswap/orders.js';
import { Volume } from '#src/zswap/volume.js';
import { freeRecords, newZswap, type TestZswap } from './pool.ts';

export interface ImageRead {
  readonly slot: number;
  readonly count: number;
  readonly dst: Uint8Array;
  readonly at: number;
  readonly done: (errno: number) => void;
}

export interface Order {
  readonly kind: number;
  readonly x: number;
  readonly slot: number;
  readonly n: number;
  readonly thread: number;
  readonly token: number;
}

/** A request that notes its end and each wake-up. */
export class Request implements DeviceRequest {
  readonly ended: number[] = [];
  resumed = 0;
  gone = false;
  fenced(): boolean {
    return this.gone;
  }
  settle(errno: number): void {
    this.ended.push(errno);
  }
  resume(): void {
    this.resumed++;
  }
}

export class Bench {
  readonly z: TestZswap;
  readonly lane: Lane;
  readonly volumes: Volume[];
  /** Reads that the image has under way. */
  readonly reading: ImageRead[] = [];
  /** What the image holds; other slots read as zeros. */
  readonly pages = new Map<number, Uint8Array>();
  private readonly later: (() => void)[] = [];

  constructor(over: Partial<PoolSettings> = {}, readsMax = 4) {
    this.z = newZswap(over);
    const images = this.z.settings.exports.map(() => ({
      read: (slot: number, count: number, dst: Uint8Array, at: number, done: (errno: number) => void) => {
        this.reading.push({ slot, count, dst, at, done });
      },
      close: () => undefined,
    }));
    this.lane = new Lane(this.z, images, readsMax, { ...NODE_LOOP, soon: (task) => this.later.push(task) });
    this.volumes = this.z.settings.exports.map((_, x) => new Volume(this.lane, x, this.infoOf(x)));
  }

  private infoOf(x: number): ExportInfo {
    const { name, pages } = this.z.settings.exports[x];
    const size = pages * PAGE_SIZE;
    return { name, description: '', size, flags: 1, minBlock: 1, preferredBlock: PAGE_SIZE, maxBlock: 2 ** 25 };
  }

  get volume(): Volume {
    return this.volumes[0];
  }

  /** Runs what was put off, and what that puts off. */
  run(): void {
    for (let task = this.later.shift(); task !== undefined; task = this.later.shift()) task();
  }

  /** The oldest read of the image ends. */
  arrive(errno = 0): ImageRead {
    const read = this.reading.shift();
    if (read === undefined) throw new Error('the image reads nothing');
    for (let i = 0; i < read.count && errno === 0; i++) {
      const to = read.at + i * PAGE_SIZE;
      read.dst.set(this.pages.get(read.slot + i) ?? new Uint8Array(PAGE_SIZE), to);
    }
    read.done(errno);
    this.run();
    return read;
  }

  /** The orders that were sent since the last call. */
  orders(): Order[] {
    const { orders, boxes } = this.z.shared;
    const record = new Int32Array(RECORD_WORDS);
    const all: Order[] = [];
    while (pop(orders, record, boxes)) {
      const [kind, x, slot, n, thread, token] = record;
      all.push({ kind, x, slot, n, thread, token });
    }
    return all;
  }

  answer(order: Order, errno = 0): void {
    answerOrder(this.z.shared, order.thread, order.token, errno);
    this.look();
  }

  /** What a wake-up of the lane does. */
  look(): void {
    this.lane.look();
    this.run();
  }
}

/** Neither pin nor buffer is left. */
export function nothingHeld(t: Test, b: Bench): void {
  t.equal(freeRecords(b.z.shared.slotTable), b.z.shared.slotTable.next.length - 1);
  t.equal(freeBuffers(b.z.shared.requestBuffers), b.z.settings.buffers);
}
