/**
 * Places: how many of a listener's connections each export may have. A connection keeps its place until the device has
 * settled all that it was given, also when its client is gone, so clients of an image that stalls would take every place.
 *
 *   half of listen.maxConnections   divided evenly: what each export has for itself
 *   the rest                        for whoever comes first; an export that is alone can have all
 *
 * One word per listener and export, counted up by the lane that serves the connection and down when it has ended.
 */
import { LISTENERS_MAX } from '../os/inherited_sockets.ts';
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';

export interface Places {
  readonly exports: number;
  /** Connections of one export over one listener. */
  readonly most: number;
  readonly taken: Int32Array;
}

export function createPlaces(maxConnections: number, exports: number): Places {
  const own = Math.floor(maxConnections / 2 / exports);
  return { exports, most: maxConnections - own * (exports - 1), taken: int32(LISTENERS_MAX * exports) };
}

/** False when the export has no place left. */
export function takePlace({ exports, most, taken }: Places, listener: number, x: number): boolean {
  const at = listener * exports + x;
  if (sync.add(taken, at, 1) < most) return true;
  sync.add(taken, at, -1);
  return false;
}

export function givePlace({ exports, taken }: Places, listener: number, x: number): void {
  sync.add(taken, listener * exports + x, -1);
}
