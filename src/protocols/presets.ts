/** Which kernels made which choice. Their red-black trees are not built: the presets run on the xarray as well. */
import { type Combination, DEFAULT_SWITCHES } from './index.ts';

const REFCOUNT = {
  entry: 'refcount-2013',
  swapoff: 'free-immediately',
  busy: 'none',
  invalidate: 'erase',
  strandPageOnAbort: false,
} as const;

export const PRESETS = {
  'v3.12': { ...REFCOUNT, leakFix: false, validate: false },
  'v3.13': { ...REFCOUNT, leakFix: true, validate: false },
  'v6.4': { ...REFCOUNT, leakFix: true, validate: true },
  'v6.8': { entry: 'refcount-lru-isolate', swapoff: 'free-immediately', busy: 'skip-eexist', invalidate: 'erase' },
  'v6.9': { entry: 'pin-validate', swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'erase' },
  'v6.13': { entry: 'pin-validate', swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'empty-check' },
} as const satisfies Record<string, Combination>;

type PresetName = keyof typeof PRESETS;
export const PRESET_NAMES = ['v3.12', 'v3.13', 'v6.4', 'v6.8', 'v6.9', 'v6.13'] as const satisfies PresetName[];

/** Without a word: the newest of all, with everything said. */
export const DEFAULT_COMBINATION: Required<Combination> = {
  ...DEFAULT_SWITCHES,
  ...PRESETS['v6.13'],
  treeIndexing: 'relative',
};
