/**
 * Lanes and the shrinker over one pool, as in service, without threads: all that is simulated are the images, which do what
 * a test tells them. Nothing runs by itself but the shrinker's own timers, so that a test says what comes when.
 */

import { type DeviceRequest, OK, TAKEN, WAIT } from 'node-nbd-server';
import type { Test } from 'tap';
import { ImageQueue } from '#src/image/image_queue.js';
import { type Loop, NODE_LOOP } from '#src/os/loop.js';
import { buffersFor } from '#src/pool/buffers.js';
import { PAGE_SIZE, THREAD_LANE0, THREAD_SHRINKER } from '#src/pool/limits.js';
import type { CursorKind } from '#src/pool/policies.js';
import { createShared, type PoolSettings, type Shared } from '#src/pool/shared.js';
import { chooseProtocols } from '#src/protocols/index.js';
import { SHOWN } from '#src/server/counters.js';
import { sum } from '#src/shm/counters.js';
import { Lane } from '#src/zswap/lane.js';
import { Shrinker } from '#src/zswap/shrinker.js';
import { Volume } from '#src/zswap/volume.js';
import { Zswap } from '#src/zswap/zswap.js';
import { NEWEST, poolSettings, TestZswap } from './pool.ts';
import { SparseImage } from './sparse_image.ts';

/** A WRITE of one page: `errno` once it is answered. */
export interface Write extends DeviceRequest {
  readonly slot: number;
  errno: number | null;
  gone: boolean;
}

export interface BenchOptions extends Partial<PoolSettings> {
  /** Victims of one walk; 32 unless given. */
  readonly batch?: number;
  readonly cursor?: CursorKind;
  readonly isPressed?: () => boolean;
  /** The shrinker's; Node's unless given. */
  readonly loop?: Loop;
}

export class ShrinkerBench {
  readonly shared: Shared;
  /** Of each lane, and of the shrinker. */
  readonly lanes: readonly Lane[];
  readonly z: TestZswap;
  readonly images: readonly SparseImage[];
  readonly shrinker: Shrinker;
  /** [bytes released] of each call of madvise. */
  readonly released: number[] = [];
  private readonly volumes: readonly (readonly Volume[])[];

  constructor(t: Pick<Test, 'teardown'>, options: BenchOptions = {}) {
    const { batch = 32, cursor = 'fixed', isPressed = () => false, loop = NODE_LOOP, ...over } = options;
    const settings = poolSettings(over);
    this.shared = createShared(settings);
    const view = (thread: number): Zswap => new Zswap(this.shared, chooseProtocols(NEWEST), thread);
    this.z = new TestZswap(this.shared, chooseProtocols(NEWEST), THREAD_SHRINKER, (x, slot, buffer) =>
      queues[x].push('writeback', slot, 1, buffer, null),
    );
    this.images = settings.exports.map(() => new SparseImage());
    const queues = this.images.map(
      (image, x) =>
        new ImageQueue(this.z, x, image, {
          runPages: 16,
          parallel: 2,
          syncEvery: Number.POSITIVE_INFINITY,
          loop: NODE_LOOP,
          onError: () => undefined,
        }),
    );
    this.shrinker = new Shrinker(this.z, queues, {
      batch,
      cursor,
      isPressed,
      release: (_segment, _offset, bytes) => this.released.push(bytes),
      loop,
    });
    t.teardown(() => this.shrinker.close());
    const reads = this.images.map((image) => ({
      read: (slot: number, count: number, dst: Uint8Array, at: number, done: (errno: number) => void): void => {
        for (let i = 0; i < count; i++) dst.set(image.page(slot + i), at + i * PAGE_SIZE);
        done(0);
      },
      close: () => undefined,
    }));
    this.lanes = Array.from(
      { length: settings.lanes },
      (_, lane) => new Lane(view(THREAD_LANE0 + lane), reads, 4, NODE_LOOP),
    );
    this.volumes = this.lanes.map((lane) =>
      settings.exports.map(({ name, pages }, x) => {
        const size = pages * PAGE_SIZE;
        const blocks = { minBlock: 1, preferredBlock: PAGE_SIZE, maxBlock: 2 ** 25 };
        return new Volume(lane, x, { name, description: '', size, flags: 1, ...blocks });
      }),
    );
  }

  /** A WRITE over `lane`; one that has to wait for a pin or a buffer is begun again whenever its lane looks. */
  write(slot: number, page: Uint8Array, x = 0, lane = 0): Write {
    const write: Write = {
      slot,
      errno: null,
      gone: false,
      fenced: () => write.gone,
      settle: (errno) => {
        write.errno = errno;
      },
      resume: () => attempt(),
    };
    const attempt = (): void => {
      const result = this.volumes[lane][x].write(write, slot, page, 0);
      if (result >= OK) write.errno = result;
      else if (result !== TAKEN && result !== WAIT) throw new Error(`write answered ${result}`);
    };
    attempt();
    return write;
  }

  /** One look of everybody, the lanes after the shrinker. */
  look(): void {
    this.shrinker.look();
    for (const lane of this.lanes) lane.look();
  }

  /** Looks and lets images finish until every write is answered; `each` is called after each look. */
  finish(writes: readonly Write[], each: () => void = () => undefined): void {
    for (let i = 0; writes.some(({ errno }) => errno === null); i++) {
      if (i === 10_000) throw new Error('writes are not answered');
      this.look();
      each();
      for (const image of this.images) image.endAll();
    }
  }

  count(name: string): number {
    return sum(this.shared.counters, SHOWN.all[name]);
  }

  /** Takes all writeback buffers that export `x` can get. */
  takeBuffers(x: number): number[] {
    const { writebackBuffers } = this.shared;
    return Array.from({ length: buffersFor(writebackBuffers, x) }, () => this.z.takePage(x));
  }
}
