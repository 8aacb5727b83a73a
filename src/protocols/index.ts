/** The protocols by name, as `protocol.*` in the config names them. */
import { busyNone } from './busy/none.ts';
import { removeFromLruOnFault } from './busy/remove_from_lru_on_fault.ts';
import { skipEexist } from './busy/skip_eexist.ts';
import { cas2013 } from './entry/cas_2013.ts';
import { pinValidate } from './entry/pin_validate.ts';
import { refcount2013 } from './entry/refcount_2013.ts';
import { refcountLruIsolate } from './entry/refcount_lru_isolate.ts';
import { emptyCheck } from './invalidate/empty_check.ts';
import { erase } from './invalidate/erase.ts';
import { loadNoReload, loadReload, loadReset } from './invalidate/load_before_lock.ts';
import type { Protocols } from './protocol.ts';
import { drain } from './swapoff/drain.ts';
import { drainEarlyRef } from './swapoff/drain_early_ref.ts';
import { freeImmediately } from './swapoff/free_immediately.ts';
import { pinFirst } from './swapoff/pin_first.ts';
import { treeRefcount } from './swapoff/tree_refcount.ts';
import { DEFAULT_SWITCHES, type ProtocolSwitches } from './switches.ts';

export const ENTRY_PROTOCOLS = {
  'refcount-2013': refcount2013,
  'cas-2013': cas2013,
  'refcount-lru-isolate': refcountLruIsolate,
  'pin-validate': pinValidate,
} as const;
export const SWAPOFF_PROTOCOLS = {
  'free-immediately': freeImmediately,
  'tree-refcount': treeRefcount,
  drain,
  'drain-early-ref': drainEarlyRef,
  'pin-first': pinFirst,
} as const;
export const BUSY_PROTOCOLS = {
  none: busyNone,
  'remove-from-lru-on-fault': removeFromLruOnFault,
  'skip-eexist': skipEexist,
} as const;
export const INVALIDATE_PROTOCOLS = {
  erase,
  'empty-check': emptyCheck,
  'load-noreload': loadNoReload,
  'load-reset': loadReset,
  'load-reload': loadReload,
} as const;

/** One choice of protocols by name, with its switches; a switch that is absent has its default. */
export interface ProtocolNames extends Partial<ProtocolSwitches> {
  readonly entry: keyof typeof ENTRY_PROTOCOLS;
  readonly invalidate: keyof typeof INVALIDATE_PROTOCOLS;
  readonly busy: keyof typeof BUSY_PROTOCOLS;
  readonly swapoff: keyof typeof SWAPOFF_PROTOCOLS;
}

export function chooseProtocols(names: ProtocolNames): Protocols {
  const chosen = Object.keys(DEFAULT_SWITCHES) as (keyof ProtocolSwitches)[];
  return {
    entry: ENTRY_PROTOCOLS[names.entry],
    invalidate: INVALIDATE_PROTOCOLS[names.invalidate],
    busy: BUSY_PROTOCOLS[names.busy],
    swapoff: SWAPOFF_PROTOCOLS[names.swapoff],
    switches: {
      ...DEFAULT_SWITCHES,
      ...Object.fromEntries(chosen.flatMap((name) => (names[name] === undefined ? [] : [[name, names[name]]]))),
    },
  };
}
