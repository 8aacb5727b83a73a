/**
 * Which kernels made which choice, of protocols, of how the shrinker chooses, and of the allocator. Up to 6.9 the tree was a
 * red-black one. All presets have the xarray in its place: under its lock, which is how all of them use it, nobody can tell.
 */
import type { AllocatorName } from '../pool/allocator/index.ts';
import type { ShrinkerPolicy } from '../pool/policies.ts';
import { type Combination, DEFAULT_SWITCHES } from './index.ts';

/** Of the kernels that have `validate` those to 6.7 stranded a page besides (strandPageOnAbort): a fault that is chosen, by no preset. */
const REFCOUNT = {
  entry: 'refcount-2013',
  swapoff: 'free-immediately',
  busy: 'none',
  invalidate: 'erase',
  strandPageOnAbort: false,
  lru: 'allocator',
} as const;

export const PRESETS = {
  'v3.12': { ...REFCOUNT, leakFix: false, validate: false },
  'v3.13': { ...REFCOUNT, leakFix: true, validate: false },
  'v6.4': { ...REFCOUNT, leakFix: true, validate: true },
  'v6.8': { entry: 'refcount-lru-isolate', swapoff: 'free-immediately', busy: 'skip-eexist', invalidate: 'erase' },
  'v6.9': { entry: 'pin-validate', swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'erase' },
  'v6.13': { entry: 'pin-validate', swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'empty-check' },
} as const satisfies Record<string, Combination>;

export type PresetName = keyof typeof PRESETS;
export const PRESET_NAMES = ['v3.12', 'v3.13', 'v6.4', 'v6.8', 'v6.9', 'v6.13'] as const satisfies PresetName[];

/** Without a word: the newest of all, with everything said. */
export const DEFAULT_COMBINATION: Required<Combination> = {
  ...DEFAULT_SWITCHES,
  ...PRESETS['v6.13'],
  treeIndexing: 'relative',
  lru: 'entries',
};

/** The allocator that each kernel took unless it was told otherwise. */
export const ALLOCATORS = {
  'v3.12': 'zbud',
  'v3.13': 'zbud',
  'v6.4': 'zbud',
  'v6.8': 'zsmalloc',
  'v6.9': 'zsmalloc',
  'v6.13': 'zsmalloc',
} as const satisfies Record<PresetName, AllocatorName>;

export const ALLOCATOR_DEFAULT: AllocatorName = 'zsmalloc';

/** Before 6.8 there was one list for all, without memcgs, and no word on what is warm. Before 5.7 there was no worker. */
const ONE_LIST = { heuristic: 'none', cursor: 'fixed', batch: 1, reclaimer: 'worker' } as const;
const IN_STORE = { ...ONE_LIST, reclaimer: 'store' } as const;

/** How the shrinker of each kernel chose. It took one page of a memcg at a time in all of them; the 32 are of 2026. */
export const SHRINKERS = {
  'v3.12': IN_STORE,
  'v3.13': IN_STORE,
  'v6.4': ONE_LIST,
  'v6.8': { heuristic: 'protected', cursor: 'legacy', batch: 1, reclaimer: 'worker' },
  'v6.9': { heuristic: 'protected', cursor: 'legacy', batch: 1, reclaimer: 'worker' },
  'v6.13': { heuristic: 'second-chance', cursor: 'fixed', batch: 1, reclaimer: 'worker' },
} as const satisfies Record<PresetName, ShrinkerPolicy>;

export const SHRINKER_DEFAULT: ShrinkerPolicy = {
  heuristic: 'second-chance',
  cursor: 'fixed',
  batch: 32,
  reclaimer: 'worker',
};
