// The options under `protocol`: a preset by kernel version, and single choices; what is not said comes from the preset.
// Invariant: what comes out has every choice said, and no choice contradicts the preset that was asked for.
import { DEFAULT_CHOICE, type Key, PRESET_NAMES, PRESETS } from '../protocols/combinations.ts';
import { bool, choice, group } from './fields.ts';

const options = {
  preset: choice(
    PRESET_NAMES,
    'The protocols of a kernel version. It stands for entry, swapoff, busy and invalidate, and for the fixes that version had; an option that says otherwise is refused. Its red-black trees are not built: every preset runs on the xarray. What the shrinker of that version did differently is not part of it.',
  ).optional(),
  entry: choice(
    ['refcount-2013', 'cas-2013', 'refcount-lru-isolate', 'pin-validate'],
    'Who frees an entry, and how writeback and invalidate meet. Default: pin-validate.',
  ).optional(),
  swapoff: choice(
    ['free-immediately', 'tree-refcount', 'drain', 'drain-early-ref', 'pin-first'],
    'How swapoff ends the writebacks that still run. Default: pin-first.',
  ).optional(),
  busy: choice(
    ['none', 'remove-from-lru-on-fault', 'skip-eexist'],
    'What writeback does with a slot that a request has pinned. Default: skip-eexist.',
  ).optional(),
  invalidate: choice(
    ['erase', 'empty-check', 'load-noreload', 'load-reset', 'load-reload'],
    'How invalidate finds out that there is nothing to erase. Default: empty-check.',
  ).optional(),
  treeIndexing: choice(
    ['relative', 'absolute'],
    'Whether each tree (64 MiB of the device) counts slots from its own first one, or from that of the device, as the kernel does. Default: relative.',
  ).optional(),
  leakFix: bool(
    'refcount-2013: a failed writeback frees an entry that nobody else has (October 2013). Default: false.',
  ).optional(),
  validate: bool(
    'refcount-2013: writeback looks again, with the slot pinned, whether the entry is still the one (CVE-2023-53178). Default: false.',
  ).optional(),
  strandPageOnAbort: bool(
    'refcount-2013 with validate: leave the slot pinned when that look fails (fixed by e3b63e966cac). Needs unsafe. Default: false.',
  ).optional(),
  eraseOnReject: bool(
    'A page that the pool rejects replaces the older one in the pool. false needs unsafe. Default: true.',
  ).optional(),
  exclusiveBypass: bool(
    'A read takes the page out of the pool, as before 25cd241408a2. Needs unsafe. Default: false.',
  ).optional(),
  slotReusableBeforeInvalidate: bool(
    'A trimmed slot takes writes before its entry is erased. Needs unsafe. Default: false.',
  ).optional(),
  lruSkipAfterUnlock: bool(
    'After a busy slot the walk of the LRU goes on where it was before it dropped the lock. Needs unsafe. Default: false.',
  ).optional(),
  invalidateUnderDeviceLock: bool(
    'Invalidate, and writeback when it pins, take the lock of the swap device, as in Linux 3.12. With cas-2013 it needs unsafe. Default: false.',
  ).optional(),
};

export const protocol = group(options, 'The invalidation and writeback protocols.').transform((value, context) => {
  const { preset, ...said } = value;
  const base = preset === undefined ? {} : PRESETS[preset];
  for (const [key, wanted] of Object.entries(base)) {
    const got = said[key as Key];
    if (got === undefined || got === wanted) continue;
    const message = `${JSON.stringify(got)} contradicts protocol.preset ${JSON.stringify(preset)}, allowed: ${JSON.stringify(wanted)}, or no preset`;
    context.issues.push({ code: 'custom', path: [key], message, input: got });
  }
  const known = Object.fromEntries(Object.entries(said).filter(([, choice]) => choice !== undefined));
  return { preset: preset ?? null, ...DEFAULT_CHOICE, ...base, ...known };
});
