/**
 * The protocols, as `protocol.*` in the config names them. Each is a file that says all about itself (declaration.ts); it is
 * known once it stands in its list here.
 */
import type { LruKind } from '../pool/policies.ts';
import { busyNone } from './busy/none.ts';
import { removeFromLruOnFault } from './busy/remove_from_lru_on_fault.ts';
import { skipEexist } from './busy/skip_eexist.ts';
import { cas2013 } from './entry/cas_2013.ts';
import { pinValidate } from './entry/pin_validate.ts';
import { refcount2013 } from './entry/refcount_2013.ts';
import { refcountLruIsolate } from './entry/refcount_lru_isolate.ts';
import { emptyCheck } from './invalidate/empty_check.ts';
import { erase } from './invalidate/erase.ts';
import { loadNoReload } from './invalidate/load_noreload.ts';
import { loadReload } from './invalidate/load_reload.ts';
import { loadReset } from './invalidate/load_reset.ts';
import { LRU_SWITCHES } from './lru/pages.ts';
import type { Protocols } from './protocol.ts';
import { drain } from './swapoff/drain.ts';
import { drainEarlyRef } from './swapoff/drain_early_ref.ts';
import { freeImmediately } from './swapoff/free_immediately.ts';
import { pinFirst } from './swapoff/pin_first.ts';
import { treeRefcount } from './swapoff/tree_refcount.ts';
import { COMMON_SWITCHES } from './switches.ts';

/** In the order in which they are listed everywhere. */
export const PROTOCOLS = {
  entry: byName([refcount2013, cas2013, refcountLruIsolate, pinValidate]),
  swapoff: byName([freeImmediately, treeRefcount, drain, drainEarlyRef, pinFirst]),
  busy: byName([busyNone, removeFromLruOnFault, skipEexist]),
  invalidate: byName([erase, emptyCheck, loadNoReload, loadReset, loadReload]),
} as const;

/** What a protocol of each kind decides. */
export const ROLE_TEXTS = {
  entry: 'Who frees an entry, and how store, load, invalidate and writeback of one slot get along.',
  swapoff: 'How trees are freed while a writeback may still use one.',
  busy: 'What writeback does with a slot that a request has pinned.',
  invalidate: 'How the entry of a slot that was freed is taken out of its tree.',
} as const;
export type Role = keyof typeof ROLE_TEXTS;
export const ROLES = Object.keys(ROLE_TEXTS) as Role[];
export type NameOf<R extends Role> = { [One in R]: keyof (typeof PROTOCOLS)[One] }[R];

type Entries = (typeof PROTOCOLS)['entry'];
export type SwitchName =
  | Entries[keyof Entries]['declaration']['switches'][number]['name']
  | (typeof COMMON_SWITCHES)[number]['name']
  | (typeof LRU_SWITCHES)[number]['name'];

/** Every switch: those of single protocols first. */
export const SWITCHES = [
  ...Object.values(PROTOCOLS.entry).flatMap(({ declaration }) => [...declaration.switches]),
  ...COMMON_SWITCHES,
  ...LRU_SWITCHES,
];
export const DEFAULT_SWITCHES = Object.fromEntries(SWITCHES.map((one) => [one.name, one.default])) as Readonly<
  Record<SwitchName, boolean>
>;

/** One protocol of each kind, by name, and what is set otherwise than by default. */
export interface Combination extends Readonly<Partial<Record<SwitchName, boolean>>> {
  readonly entry: NameOf<'entry'>;
  readonly swapoff: NameOf<'swapoff'>;
  readonly busy: NameOf<'busy'>;
  readonly invalidate: NameOf<'invalidate'>;
  /** How a tree counts its slots; the pool's matter, and here because load-noreload is as broken as that lets it be. */
  readonly treeIndexing?: 'relative' | 'absolute';
  /** What reclaim goes by; `entries` unless given. */
  readonly lru?: LruKind;
}

export function chooseProtocols(chosen: Combination): Protocols {
  const said = (Object.keys(DEFAULT_SWITCHES) as SwitchName[]).filter((name) => chosen[name] !== undefined);
  return {
    entry: PROTOCOLS.entry[chosen.entry],
    swapoff: PROTOCOLS.swapoff[chosen.swapoff],
    busy: PROTOCOLS.busy[chosen.busy],
    invalidate: PROTOCOLS.invalidate[chosen.invalidate],
    lru: chosen.lru ?? 'entries',
    switches: { ...DEFAULT_SWITCHES, ...Object.fromEntries(said.map((name) => [name, chosen[name]])) },
  };
}

function byName<P extends { readonly name: string }>(
  protocols: readonly P[],
): { readonly [One in P as One['name']]: One } {
  return Object.fromEntries(protocols.map((one) => [one.name, one])) as { readonly [One in P as One['name']]: One };
}
