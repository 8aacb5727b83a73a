// The options under `protocol`: a preset by kernel version, and single choices; what is not said comes from the preset.
// Invariant: what comes out has every choice said, and no choice contradicts the preset that was asked for.

import { LRU_KINDS } from '../pool/policies.ts';
import { namesOf } from '../protocols/combinations.ts';
import {
  type Combination,
  type NameOf,
  PROTOCOLS,
  ROLE_TEXTS,
  type Role,
  SWITCHES,
  type SwitchName,
} from '../protocols/index.ts';
import { LRU_TEXTS } from '../protocols/lru/pages.ts';
import { DEFAULT_COMBINATION, PRESET_NAMES, PRESETS } from '../protocols/presets.ts';
import { bool, choice, group } from './fields.ts';

/** A kind of protocol, with what each of them says about itself. */
function kind<R extends Role>(role: R) {
  const texts = Object.values(PROTOCOLS[role]).map(({ name, declaration }) => `${name}: ${declaration.about}`);
  const names = namesOf(role) as [NameOf<R> & string, ...(NameOf<R> & string)[]];
  return choice(names, `${ROLE_TEXTS[role]} ${texts.join('; ')}. Default: ${DEFAULT_COMBINATION[role]}.`).optional();
}

function switchOption({ about, default: isOn }: (typeof SWITCHES)[number]) {
  return bool(`${about} Default: ${isOn}.`).optional();
}

const switches = Object.fromEntries(SWITCHES.map((one) => [one.name, switchOption(one)])) as Readonly<
  Record<SwitchName, ReturnType<typeof switchOption>>
>;

const options = {
  preset: choice(
    PRESET_NAMES,
    'The protocols of a kernel version. It stands for entry, swapoff, busy, invalidate and lru, and for the fixes that version had; an option that says otherwise is refused. How the shrinker of that version chose its pages comes with it (shrinker.heuristic, cursor and batch), and the allocator that it took by default (pool.allocator), unless those say otherwise. Up to v6.9 the kernel kept its tree under the same lock as a red-black one, which nobody can tell from the xarray.',
  ).optional(),
  entry: kind('entry'),
  swapoff: kind('swapoff'),
  busy: kind('busy'),
  invalidate: kind('invalidate'),
  treeIndexing: choice(
    ['relative', 'absolute'],
    'Whether each tree (64 MiB of the device) counts slots from its own first one, or from that of the device, as the kernel does. It matters to load-noreload alone: with absolute the entry that it loses is only that of slot 0, with relative the first of any tree, as the review of that patch presumed. Default: relative.',
  ).optional(),
  lru: choice(
    LRU_KINDS,
    `What reclaim goes by. ${LRU_KINDS.map((kind) => `${kind}: ${LRU_TEXTS[kind]}`).join('; ')}. allocator needs pool.allocator zbud or z3fold, and an entry protocol of that time; memcgs have no say in it, and a store at the limit of one is rejected. Default: ${DEFAULT_COMBINATION.lru}.`,
  ).optional(),
  ...switches,
};

export const protocol = group(options, 'The invalidation and writeback protocols.').transform((value, context) => {
  const { preset, ...said } = value;
  const base = preset === undefined ? {} : PRESETS[preset];
  for (const [key, wanted] of Object.entries(base)) {
    const got = said[key as keyof Combination];
    if (got === undefined || got === wanted) continue;
    const message = `${JSON.stringify(got)} contradicts protocol.preset ${JSON.stringify(preset)}, allowed: ${JSON.stringify(wanted)}, or no preset`;
    context.issues.push({ code: 'custom', path: [key], message, input: got });
  }
  const known = Object.fromEntries(Object.entries(said).filter(([, choice]) => choice !== undefined));
  return { preset: preset ?? null, ...DEFAULT_COMBINATION, ...base, ...known };
});
