// What the threads of the stress test agree on: what a slot's page looks like at each version, and where that is noted.
import type { Shared } from '#src/pool/shared.js';
import type { Combination } from '#src/protocols/index.js';
import { KINDS, makePage } from './pool.ts';

export interface StressData {
  readonly role: 'lane' | 'shrinker';
  readonly shared: Shared;
  readonly protocols: Combination;
  readonly thread: number;
  readonly seed: number;
  readonly slots: number;
  /** Word 0 turns 1 when lanes stop, word 1 when the shrinker stops. */
  readonly stop: Int32Array;
  /** Per slot of each export: last version stored, negative once trimmed. Plain; the pin or the claim protects it. */
  readonly versions: Int32Array;
  /** The image: a page per slot of each export. */
  readonly image: Uint8Array;
  /** Per name of WANTED, 1 once it has happened. */
  readonly seen: Int32Array;
}

/** What has to happen at least once, whatever the machine's load: the threads go on until it has. */
export const WANTED = [
  'stores',
  'loads',
  'imageLoads',
  'trimmedLoads',
  'rejected',
  'overLimit',
  'trims',
  'WRITTEN',
  'ROTATED',
  'compacted',
  'givenBack',
];

/** What a thread did, by name. */
export type Done = Record<string, number>;

export const EXPORTS = 2;

/** Numbers below `n` from a seed (xorshift32), the same in each run of a seed. */
export function randoms(seed: number): (n: number) => number {
  let state = seed | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

/** The page of a slot at a version; any two differ. */
export function pageAt(at: number, version: number): Uint8Array {
  const number = Math.imul(version, 4096) + at;
  return makePage(KINDS[(Math.imul(number, 0x85ebca6b) >>> 16) % KINDS.length], number);
}
