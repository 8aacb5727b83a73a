/**
 * Places: how many of a listener's connections each export may have. A connection keeps its place until the device has
 * settled all that it was given, also when its client is gone, so clients of an image that stalls would take every place.
 *
 *   half of listen.maxConnections   divided evenly: what each export has for itself
 *   the rest                        for whoever comes first; an export that is alone can have all
 *
 * Counted by the lane that serves a connection, up when the client has chosen its export and down when it has ended. Whoever is
 * still in the handshake has no place, and counts against the listener's cap alone.
 */
import { LISTENERS_MAX } from '../os/inherited_sockets.ts';
import { int32 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';

export interface Places {
  readonly exports: number;
  /** What each export has for itself, and what there is beside that. */
  readonly own: number;
  readonly rest: number;
  /** Per listener: [lock, taken of the rest, taken by each export]. */
  readonly words: Int32Array;
}

const LOCK = 0;
const REST = 1;
const TAKEN = 2;

export function createPlaces(maxConnections: number, exports: number): Places {
  const own = Math.floor(maxConnections / 2 / exports);
  const words = int32(LISTENERS_MAX * (TAKEN + exports));
  return { exports, own, rest: maxConnections - own * exports, words };
}

/** False when the export has no place left. */
export function takePlace({ exports, own, rest, words }: Places, listener: number, x: number): boolean {
  const at = listener * (TAKEN + exports);
  sync.lock(words, at + LOCK);
  const ofRest = words[at + TAKEN + x] >= own;
  const free = !ofRest || words[at + REST] < rest;
  if (free) words[at + TAKEN + x]++;
  if (free && ofRest) words[at + REST]++;
  sync.unlock(words, at + LOCK);
  return free;
}

export function givePlace({ exports, own, words }: Places, listener: number, x: number): void {
  const at = listener * (TAKEN + exports);
  sync.lock(words, at + LOCK);
  if (--words[at + TAKEN + x] >= own) words[at + REST]--;
  sync.unlock(words, at + LOCK);
}
