/**
 * The combinations that a matrix is made of: all choices of protocols that the server takes, with the switches of their
 * entry protocol; and the switches that break a common rule, each upon one choice per entry protocol.
 */

import {
  BUSY_PROTOCOLS,
  ENTRY_PROTOCOLS,
  INVALIDATE_PROTOCOLS,
  type ProtocolNames,
  SWAPOFF_PROTOCOLS,
} from '../../protocols/index.ts';
import { meaningfulCombinations } from '../../protocols/safe.ts';
import { DEFAULT_SWITCHES, type ProtocolSwitches } from '../../protocols/switches.ts';

/** How trees are indexed matters to some scenarios, so here it is part of a combination. */
export type Combination = ProtocolNames & { readonly treeIndexing?: 'relative' | 'absolute' };

type Switches = Partial<ProtocolSwitches>;

export const DEFAULT_COMBINATION: Combination = {
  entry: 'pin-validate',
  swapoff: 'pin-first',
  busy: 'skip-eexist',
  invalidate: 'erase',
};

/** Switches that one entry protocol alone has, in every setting that makes sense. */
const OWN: Readonly<Record<Combination['entry'], readonly Switches[]>> = {
  'refcount-2013': [
    {},
    { leakFix: true },
    { validate: true },
    { leakFix: true, validate: true },
    { validate: true, strandPageOnAbort: true },
    { leakFix: true, validate: true, strandPageOnAbort: true },
  ],
  'cas-2013': [{}],
  'refcount-lru-isolate': [{}],
  'pin-validate': [{}, { eraseOnReject: false }],
};

/** What each entry protocol goes with: as its kernels had it, and where those were broken, as it holds best. */
export const USUAL: Readonly<Record<Combination['entry'], Combination>> = {
  'refcount-2013': {
    ...DEFAULT_COMBINATION,
    entry: 'refcount-2013',
    swapoff: 'free-immediately',
    leakFix: true,
    validate: true,
  },
  'cas-2013': { ...DEFAULT_COMBINATION, entry: 'cas-2013', swapoff: 'free-immediately' },
  'refcount-lru-isolate': { ...DEFAULT_COMBINATION, entry: 'refcount-lru-isolate', swapoff: 'tree-refcount' },
  'pin-validate': DEFAULT_COMBINATION,
};

/** Switches that break a rule which every protocol leans on: one at a time, upon the usual choice of each entry protocol. */
const COMMON: readonly Switches[] = [
  { exclusiveBypass: true },
  { slotReusableBeforeInvalidate: true },
  { lruSkipAfterUnlock: true },
  { invalidateUnderDeviceLock: true },
];

/** Every combination that is not refused. */
export function allCombinations(): Combination[] {
  const all = meaningfulCombinations().flatMap((names) =>
    OWN[names.entry].map((own): Combination => ({ ...names, ...own })),
  );
  for (const entry of keys(ENTRY_PROTOCOLS)) for (const common of COMMON) all.push({ ...USUAL[entry], ...common });
  // How trees are indexed matters to how invalidate gets at an entry, and to nothing else.
  for (const invalidate of keys(INVALIDATE_PROTOCOLS)) {
    all.push({ ...DEFAULT_COMBINATION, invalidate, treeIndexing: 'absolute' });
  }
  return all;
}

function keys<T extends object>(table: T): (keyof T)[] {
  return Object.keys(table) as (keyof T)[];
}

/** True if the four names exist and every further member is a switch. */
export function isProtocolChoice(
  value: Readonly<Record<string, unknown>>,
): value is Combination & Record<string, unknown> {
  const { entry, swapoff, busy, invalidate, treeIndexing = 'relative', ...switches } = value;
  return (
    Object.hasOwn(ENTRY_PROTOCOLS, String(entry)) &&
    Object.hasOwn(SWAPOFF_PROTOCOLS, String(swapoff)) &&
    Object.hasOwn(BUSY_PROTOCOLS, String(busy)) &&
    Object.hasOwn(INVALIDATE_PROTOCOLS, String(invalidate)) &&
    (treeIndexing === 'relative' || treeIndexing === 'absolute') &&
    Object.entries(switches).every(([name, on]) => Object.hasOwn(DEFAULT_SWITCHES, name) && typeof on === 'boolean')
  );
}
