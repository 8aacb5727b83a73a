/**
 * Which choices of protocols make no sense, which are broken and how, and which kernels made which choice.
 *
 * The verdicts are those of the safety matrix; an explorer checks them.
 */
import type { ProtocolNames } from './index.ts';
import { DEFAULT_SWITCHES, type ProtocolSwitches } from './switches.ts';

/** A choice with every switch said. */
type Choice = ProtocolNames & ProtocolSwitches & { readonly treeIndexing: 'relative' | 'absolute' };
export type Key = keyof Choice;

const REFCOUNT = {
  entry: 'refcount-2013',
  swapoff: 'free-immediately',
  busy: 'none',
  invalidate: 'erase',
  strandPageOnAbort: false,
} as const;

/** What the kernels had. Their red-black trees are not built: the presets run on the xarray as well. */
export const PRESETS = {
  'v3.12': { ...REFCOUNT, leakFix: false, validate: false },
  'v3.13': { ...REFCOUNT, leakFix: true, validate: false },
  'v6.4': { ...REFCOUNT, leakFix: true, validate: true },
  'v6.8': { entry: 'refcount-lru-isolate', swapoff: 'free-immediately', busy: 'skip-eexist', invalidate: 'erase' },
  'v6.9': { entry: 'pin-validate', swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'erase' },
  'v6.13': { entry: 'pin-validate', swapoff: 'pin-first', busy: 'skip-eexist', invalidate: 'empty-check' },
} as const satisfies Record<string, Partial<Choice>>;

type PresetName = keyof typeof PRESETS;
export const PRESET_NAMES = ['v3.12', 'v3.13', 'v6.4', 'v6.8', 'v6.9', 'v6.13'] as const satisfies PresetName[];

/** Without a preset: the newest of all. */
export const DEFAULT_CHOICE: Choice = { ...DEFAULT_SWITCHES, ...PRESETS['v6.13'], treeIndexing: 'relative' };

/** The same with everything said. */
export function choiceOf(names: ProtocolNames & Partial<Choice>): Choice {
  return { ...DEFAULT_CHOICE, ...names };
}

export interface Objection {
  /** The key that the message is about. */
  readonly key: Key;
  readonly text: string;
}

const DRAINS: readonly string[] = ['drain', 'drain-early-ref'];

/** Combinations without a meaning, with the reason and what to choose instead. */
export function meaningless(c: Choice): Objection[] {
  const found: Objection[] = [];
  const object = (key: Key, text: string): unknown => found.push({ key, text });
  const counted = '"free-immediately", "pin-first"';
  if ((c.entry === 'refcount-2013' || c.entry === 'cas-2013') && c.swapoff === 'tree-refcount') {
    object(
      'swapoff',
      `"tree-refcount" needs a writeback that asks for the tree, and ${c.entry} does not, allowed: ${counted}`,
    );
  }
  if (c.entry === 'refcount-2013' && DRAINS.includes(c.swapoff)) {
    object('swapoff', `"${c.swapoff}" waits for entry counts, and refcount-2013 leaks them, allowed: ${counted}`);
  }
  if (c.entry === 'cas-2013' && DRAINS.includes(c.swapoff)) {
    object('swapoff', `"${c.swapoff}" waits for entry counts, and cas-2013 has none, allowed: ${counted}`);
  }
  if (c.entry === 'refcount-lru-isolate' && c.swapoff === 'pin-first') {
    const allowed = '"free-immediately", "tree-refcount", "drain", "drain-early-ref"';
    object('swapoff', `"pin-first" needs a writeback that pins before it touches the tree, allowed: ${allowed}`);
  }
  if (c.entry === 'pin-validate' && DRAINS.includes(c.swapoff)) {
    const allowed = '"free-immediately", "tree-refcount", "pin-first"';
    object('swapoff', `"${c.swapoff}" waits for entry counts, and pin-validate has none, allowed: ${allowed}`);
  }
  if (c.invalidate.startsWith('load-') && c.entry !== 'pin-validate') {
    object(
      'invalidate',
      `"${c.invalidate}" frees what it erased, which only pin-validate allows, allowed: "erase", "empty-check"`,
    );
  }
  return found;
}

/** With everything on one thread, whoever waits for another waits for ever. */
export function needsThreads(c: Choice): Objection[] {
  const found: Objection[] = [];
  const why = 'retries until another thread moves, and lanes: 0 has one thread';
  if (c.entry === 'refcount-2013' || c.entry === 'cas-2013') {
    found.push({
      key: 'entry',
      text: `"${c.entry}" ${why}, allowed: "refcount-lru-isolate", "pin-validate", or lanes from 1`,
    });
  }
  if (c.busy !== 'skip-eexist') {
    found.push({ key: 'busy', text: `"${c.busy}" ${why}, allowed: "skip-eexist", or lanes from 1` });
  }
  return found;
}

/** What will go wrong, worst first; empty for a choice that holds. */
export function broken(c: Choice): Objection[] {
  return [...brokenEntry(c), ...brokenSwapoff(c), ...brokenBusy(c), ...brokenSwitches(c)];
}

function brokenEntry(c: Choice): Objection[] {
  const found: Objection[] = [];
  if (c.entry === 'cas-2013') {
    found.push({
      key: 'entry',
      text: 'a store and swapoff wait for writeback with the tree locked: deadlock, exit 70',
    });
  }
  if (c.entry !== 'refcount-2013') return found;
  if (!c.validate) {
    found.push({ key: 'entry', text: 'a writeback that is late writes old data over a newer page: stale data' });
  }
  if (!c.leakFix) found.push({ key: 'entry', text: 'a TRIM beside a writeback leaves the entry to nobody: leak' });
  if (c.validate && c.strandPageOnAbort) {
    found.push({
      key: 'strandPageOnAbort',
      text: 'an aborted writeback leaves the slot pinned: its requests hang, exit 70',
    });
  }
  return found;
}

function brokenSwapoff(c: Choice): Objection[] {
  const early = c.swapoff === 'free-immediately' || c.swapoff === 'drain' || c.swapoff === 'pin-first';
  if (c.entry === 'pin-validate' || !early) return [];
  return [{ key: 'swapoff', text: 'swapoff frees a tree that a writeback still uses: use after free, exit 70' }];
}

function brokenBusy(c: Choice): Objection[] {
  if (c.busy === 'skip-eexist') return [];
  const late = c.busy === 'none' ? '' : ' where writeback has the entry isolated';
  const text = `writeback waits for a pin that waits for it at a memcg limit${late}: deadlock, exit 70`;
  return [{ key: 'busy', text }];
}

function brokenSwitches(c: Choice): Objection[] {
  const found: Objection[] = [];
  const object = (key: Key, text: string): unknown => found.push({ key, text });
  if (c.invalidate === 'load-noreload') {
    object(
      'invalidate',
      "an entry that moves into or out of its tree's head is freed and stays, or is lost: use after free, leak",
    );
  }
  if (c.entry === 'pin-validate' && !c.eraseOnReject) {
    object('eraseOnReject', 'a page that the pool rejects is shadowed by the older one in the pool: stale data');
  }
  if (c.exclusiveBypass && (c.entry === 'pin-validate' || c.entry === 'refcount-lru-isolate')) {
    object('exclusiveBypass', 'a page that was read once is read from the image the next time: data loss');
  }
  if (c.slotReusableBeforeInvalidate) {
    object('slotReusableBeforeInvalidate', 'a TRIM erases what was stored to the slot after it: lost store');
  }
  if (c.lruSkipAfterUnlock && (c.entry === 'pin-validate' || c.entry === 'refcount-lru-isolate')) {
    object('lruSkipAfterUnlock', 'after a busy victim the walk goes on at an entry that may be freed: use after free');
  }
  if (c.invalidateUnderDeviceLock && c.entry === 'cas-2013') {
    object('invalidateUnderDeviceLock', 'invalidate waits for writeback under the lock that writeback needs: deadlock');
  }
  return found;
}
