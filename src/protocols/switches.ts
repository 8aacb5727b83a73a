/**
 * Single lines of the protocols that can be switched: fixes that were merged one by one, and bugs that were shipped.
 * They are read through `on`, which notes for an explorer that the outcome may depend on the switch.
 */
import * as sync from '../shm/sync.ts';

export interface ProtocolSwitches {
  /** refcount-2013: a failed writeback frees an entry that nobody else holds (October 2013). */
  readonly leakFix: boolean;
  /** refcount-2013: writeback compares entry and tree under the pin (2023, CVE-2023-53178). */
  readonly validate: boolean;
  /** refcount-2013 with validate: the comparison fails and the page stays locked (fixed by e3b63e966cac). */
  readonly strandPageOnAbort: boolean;
  /** pin-validate: a rejected store erases the old entry. Off is 678e54d4bb9a undone. */
  readonly eraseOnReject: boolean;
  /** A load erases the entry, though its page may be thrown away (25cd241408a2 undone). */
  readonly exclusiveBypass: boolean;
  /** A slot can be stored to again before its invalidate has returned: E2 broken. */
  readonly slotReusableBeforeInvalidate: boolean;
  /** After a busy victim the walk goes on at the neighbour it remembered from before the LRU lock was dropped. */
  readonly lruSkipAfterUnlock: boolean;
  /** Invalidate runs under the lock of the swap device, which a pin needs as well (the 3.12 swap core). */
  readonly invalidateUnderDeviceLock: boolean;
}

export const DEFAULT_SWITCHES: ProtocolSwitches = {
  leakFix: false,
  validate: false,
  strandPageOnAbort: false,
  eraseOnReject: true,
  exclusiveBypass: false,
  slotReusableBeforeInvalidate: false,
  lruSkipAfterUnlock: false,
  invalidateUnderDeviceLock: false,
};

export function on(
  pool: { readonly protocols: { readonly switches: ProtocolSwitches } },
  name: keyof ProtocolSwitches,
): boolean {
  sync.consult(name);
  return pool.protocols.switches[name];
}
