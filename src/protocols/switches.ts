/**
 * Switches that more than one protocol has, or that break a rule which all lean on; a protocol's own are in its file. They
 * are read through `on`, which notes for an explorer that the outcome may depend on the switch.
 */
import * as sync from '../shm/sync.ts';
import type { BreakingSwitch, Switch, SwitchSettings } from './declaration.ts';

export const exclusiveBypass = {
  name: 'exclusiveBypass',
  default: false,
  about: 'A read takes the page out of the pool, as before 25cd241408a2. Needs unsafe.',
  breaks: 'a page that was read once is read from the image the next time: data loss',
} as const satisfies BreakingSwitch;

/** Breaks E2. */
export const slotReusableBeforeInvalidate = {
  name: 'slotReusableBeforeInvalidate',
  default: false,
  about: 'A trimmed slot takes writes before its entry is erased. Needs unsafe.',
  breaks: 'a TRIM erases what was stored to the slot after it: lost store',
} as const satisfies BreakingSwitch;

export const lruSkipAfterUnlock = {
  name: 'lruSkipAfterUnlock',
  default: false,
  about: 'After a busy slot the walk of the LRU goes on where it was before it dropped the lock. Needs unsafe.',
  breaks: 'after a busy victim the walk goes on at an entry that may be freed: use after free',
} as const satisfies BreakingSwitch;

/** The 3.12 swap core. */
export const invalidateUnderDeviceLock = {
  name: 'invalidateUnderDeviceLock',
  default: false,
  about:
    'Invalidate, and writeback when it pins, take the lock of the swap device, as in Linux 3.12. With cas-2013 it needs unsafe.',
  breaks: 'invalidate waits for writeback under the lock that writeback needs: deadlock',
} as const satisfies BreakingSwitch;

export const COMMON_SWITCHES = [
  exclusiveBypass,
  slotReusableBeforeInvalidate,
  lruSkipAfterUnlock,
  invalidateUnderDeviceLock,
] as const;

export function on(pool: { readonly protocols: { readonly switches: SwitchSettings } }, { name }: Switch): boolean {
  sync.consult(name);
  return pool.protocols.switches[name];
}
