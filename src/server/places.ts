/**
 * Places: how many of a listener's connections each export may have, divided as everything that exports share (pool/shares.ts).
 * A connection keeps its place until the device has settled all that it was given, also when its client is gone, so clients of
 * an image that stalls would take every place.
 *
 * Counted by the lane that serves a connection, up when the client has chosen its export and down when it has ended. Whoever is
 * still in the handshake has no place, and is counted by itself (handshakes.ts).
 */
import { LISTENERS_MAX } from '../os/inherited_sockets.ts';
import { createShares, giveShare, leftFor, type Shares, takeShare } from '../pool/shares.ts';
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';

export interface Places {
  /** A word per listener. */
  readonly locks: Int32Array;
  readonly shares: readonly Shares[];
}

/** Nobody waits for a place: who finds none is turned away. */
const NO_WAITERS = 0;

export function createPlaces(maxConnections: number, exports: number): Places {
  const shares = Array.from({ length: LISTENERS_MAX }, () => createShares(maxConnections, exports));
  return { locks: int32(LISTENERS_MAX), shares };
}

/** Whether any export has a place left. A hint, as lanes take and give them meanwhile. */
export function anyPlace({ shares }: Places, listener: number): boolean {
  return shares[listener].held.some((_, x) => leftFor(shares[listener], x) > 0);
}

/** False when the export has no place left. */
export function takePlace({ locks, shares }: Places, listener: number, x: number): boolean {
  sync.lock(locks, listener);
  const taken = takeShare(shares[listener], x, NO_WAITERS);
  sync.unlock(locks, listener);
  return taken;
}

export function givePlace({ locks, shares }: Places, listener: number, x: number): void {
  sync.lock(locks, listener);
  giveShare(shares[listener], x);
  sync.unlock(locks, listener);
}
