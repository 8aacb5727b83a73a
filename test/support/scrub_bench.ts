// A scrub over a pool of its own: ticks come and image reads end when a test says so.
import type { Test } from 'tap';
import type { ReadableImage } from '#src/image/image.js';
import type { Loop } from '#src/os/loop.js';
import { createShared, type PoolSettings } from '#src/pool/shared.js';
import { chooseProtocols } from '#src/protocols/index.js';
import type { Mismatch } from '#src/server/messages.js';
import { mismatches } from '#src/server/mismatches.js';
import { sum } from '#src/shm/counters.js';
import { Scrub } from '#src/zswap/scrub.js';
import { NEWEST, poolSettings, TestZswap } from './pool.ts';

const PAGE = 4096;

/** A read of the image that is under way, until the test ends it. */
interface Read {
  readonly slot: number;
  readonly end: (page: Uint8Array, errno?: number) => void;
}

export function benchOfScrub(t: Test, rate: number, over: Partial<PoolSettings> = {}, protocols = NEWEST) {
  const shared = createShared(poolSettings({ checksums: true, ...over }));
  const view = (thread: number) => new TestZswap(shared, chooseProtocols(protocols), thread);
  const z = view(1);
  const told: Mismatch[] = [];
  z.onMismatch = mismatches(z, (message) => told.push(message));
  const tasks: (() => void)[] = [];
  let tick: (() => void) | null = null;
  const loop: Loop = {
    soon: (task) => void tasks.push(task),
    defer: (task) => void tasks.push(task),
    after: () => t.fail('it sets no timer but one') as never,
    every: (_ms, task) => {
      tick = task;
      return {
        cancel: () => {
          tick = null;
        },
      };
    },
  };
  const run = (): void => {
    while (tasks.length > 0) for (const task of tasks.splice(0)) task();
  };
  const reads: Read[] = [];
  const image = (x: number): ReadableImage => ({
    read: (slot, count, dst, at, done) => {
      t.equal(count, 1);
      t.equal((dst.byteOffset + at) % PAGE, 0, 'memory that O_DIRECT takes');
      const end = (page: Uint8Array, errno = 0): void => {
        dst.set(page, at);
        done(errno);
        run();
      };
      reads.push({ slot: x * 1e6 + slot, end });
    },
    close: () => undefined,
  });
  const unreadable: [number, number][] = [];
  const scrub = new Scrub(z, {
    rate,
    loop,
    images: shared.settings.exports.map((_, x) => image(x)),
    onUnreadable: (x, errno) => unreadable.push([x, errno]),
  });
  return {
    z,
    lane: view(2),
    shared,
    told,
    reads,
    unreadable,
    scrub,
    hasTimer: () => tick !== null,
    ticks(count: number): void {
      for (let i = 0; i < count; i++) {
        tick?.();
        run();
      }
    },
    count: (column: number): number => sum(shared.counters, column),
  };
}
