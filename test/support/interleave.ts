/**
 * Interleavings on one thread: when the code under test comes to a step, another operation runs there from begin to end.
 * Where that operation would have to wait for the first one, it throws Blocked instead: two threads would stand there.
 */

import { clearBit } from '#src/pool/bits.js';
import { setChecking } from '#src/pool/entries.js';
import { createShared, type PoolSettings } from '#src/pool/shared.js';
import { type Combination, chooseProtocols } from '#src/protocols/index.js';
import * as sync from '#src/shm/sync.js';
import { type SwapoffHost, SwapoffOp } from '#src/zswap/swapoff_op.js';
import { Zswap } from '#src/zswap/zswap.js';
import { NEWEST, poolSettings, TestZswap } from './pool.ts';

export class Blocked extends Error {}

/** Two threads of one pool: a lane, and the shrinker. */
export function pair(
  names: Partial<Combination>,
  over: Partial<PoolSettings> = {},
): { lane: Zswap; shrinker: TestZswap } {
  const protocols = chooseProtocols({ ...NEWEST, ...names });
  const settings = { locklessWalks: protocols.invalidate.lockless, ...over };
  const shared = createShared(poolSettings(settings), 64);
  setChecking(true);
  return { lane: new Zswap(shared, protocols, 2), shrinker: new TestZswap(shared, protocols, 1) };
}

/** Runs `work`; the first time it reaches step `label`, `meanwhile` runs there. Steps of `meanwhile` are its own. */
export function at<T>(label: string, meanwhile: () => void, work: () => T): T {
  let waiting = true;
  const word = (words: Int32Array, index: number): number => Atomics.load(words, index);
  sync.setHook({
    point(op) {
      if (op !== label || !waiting) return;
      waiting = false;
      meanwhile();
    },
    lock(words, index) {
      if (word(words, index) !== 0) throw new Blocked(`waits for lock ${index}`);
      Atomics.store(words, index, 1);
    },
    tryLock(words, index) {
      return Atomics.compareExchange(words, index, 0, 1) === 0;
    },
    unlock(words, index) {
      Atomics.store(words, index, 0);
    },
    retry(words, index, seen) {
      if (word(words, index) === seen) throw new Blocked(`waits for word ${index} to leave ${seen}`);
    },
  });
  try {
    const result = work();
    if (waiting) throw new Error(`step ${label} was not reached`);
    return result;
  } finally {
    sync.setHook(null);
  }
}

/** One walk of the shrinker. */
export function shrink(z: Zswap): number {
  return z.protocols.entry.shrinkOne(z, 1, z.protocols.busy);
}

/** TRIM of a slot, without the range claim. */
export function trim(z: Zswap, slot: number): void {
  clearBit(z.shared.users, 0, slot);
  z.invalidate(0, slot);
}

/** swapoff from begin to end; the image is never asked. */
export function swapoff(z: Zswap): void {
  const host: SwapoffHost = {
    zswap: z,
    park: () => {
      throw new Blocked('waits for a pin');
    },
    defer: (task) => task(),
    copyOut: (_x, _all, done) => done(0),
    punch: (_x, _first, _count, done) => done(0),
  };
  new SwapoffOp(host, 0, false, () => {}).resume();
}
