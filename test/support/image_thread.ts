/**
 * The shrinker's thread over a held image, and a lane beside it, in one thread of the test: everything between an order
 * and its answer is the served code, and moves only when the test says so.
 */

import type { Test } from 'tap';
import { ImageQueue, type QueueOptions } from '#src/image/image_queue.js';
import { NODE_LOOP } from '#src/os/loop.js';
import type { PoolSettings, Shared } from '#src/pool/shared.js';
import { createShared } from '#src/pool/shared.js';
import { chooseProtocols } from '#src/protocols/index.js';
import { Lane } from '#src/zswap/lane.js';
import { Shrinker } from '#src/zswap/shrinker.js';
import { Zswap } from '#src/zswap/zswap.js';
import { HeldImage } from './held_image.ts';
import { NEWEST, poolSettings } from './pool.ts';

export const PAGES = 2048;

export interface ImageThread {
  readonly shared: Shared;
  /** As a lane sees the pool. */
  readonly z: Zswap;
  readonly lane: Lane;
  readonly image: HeldImage;
  readonly queue: ImageQueue;
  readonly shrinker: Shrinker;
  /** Calls of the image that failed, as they were told. */
  readonly errors: string[];
  /** Sends an order; its answer is in `errno` once the image has done its part. */
  order(kind: number, slot?: number, n?: number): { errno: number | null };
  /** The shrinker's thread takes its orders, works, and the lane takes its answers. */
  look(): void;
  /** Looks and ends image calls until nothing is under way. */
  settle(): void;
  /** One page of the coldest goes into writeback. */
  shrink(): number;
}

export function imageThread(
  t: Pick<Test, 'teardown'>,
  settings: Partial<PoolSettings> = {},
  options: Partial<QueueOptions> = {},
): ImageThread {
  const shared = createShared(poolSettings({ exports: [{ name: 'a', pages: PAGES, memcg: 0 }], ...settings }));
  const protocols = chooseProtocols(NEWEST);
  const errors: string[] = [];
  const z = new Zswap(shared, protocols, 2);
  const own = new Zswap(shared, protocols, 1, (_x, slot, buffer) => queue.push('writeback', slot, 1, buffer, null));
  const image = new HeldImage(PAGES);
  // Only the page cache has anything to be synced out of now and then.
  image.direct = options.syncEvery === undefined;
  const queue: ImageQueue = new ImageQueue(own, 0, image, {
    runPages: 64,
    parallel: 1,
    syncEvery: Number.POSITIVE_INFINITY,
    loop: NODE_LOOP,
    onError: (what, errno) => errors.push(`${what} ${errno}`),
    ...options,
  });
  const shrinker = new Shrinker(own, [queue], { batch: 32, release: () => undefined, loop: NODE_LOOP });
  t.teardown(() => shrinker.close());
  const lane = new Lane(z, [{ read: () => undefined, close: () => undefined }], 1, NODE_LOOP);
  const look = (): void => {
    shrinker.look();
    lane.look();
  };
  return {
    shared,
    z,
    lane,
    image,
    queue,
    shrinker,
    errors,
    look,
    order(kind, slot = 0, n = 0) {
      const answer: { errno: number | null } = { errno: null };
      lane.order(kind, 0, slot, n, (errno) => {
        answer.errno = errno;
      });
      return answer;
    },
    settle() {
      for (look(); image.calls.length > 0; look()) image.endAll();
    },
    shrink: () => own.protocols.entry.shrinkOne(own, 1, own.protocols.busy),
  };
}

/** What a kill would leave of the slot. */
export const durable = ({ image }: ImageThread, slot: number): Uint8Array =>
  image.durable.subarray(slot * 4096, (slot + 1) * 4096);
