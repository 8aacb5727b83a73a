/**
 * Whether the marker of a strict server may vouch for what it has flushed. It may not while the server itself knows better: a
 * page is lost, or a sync has failed, after which nobody can tell which pages the disk has.
 *
 * One word per export says what its marker says, and the main thread alone changes it (server/vouching.ts). Whoever answers a
 * FLUSH or a FUA compares it with what is known now, and where they differ has the marker changed before the answer:
 *   1. a page is found lost   2. a FLUSH of others ends well, and is answered   3. the server is killed
 *   4. the next one serves the wrong page as one that was flushed
 * The word is CHANGING before a marker begins to change, and what is known is looked at again afterwards, so no loss is missed:
 * it is counted as lost first, and the word is looked at then.
 */
import { setCount } from '../pool/bits.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { wake } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';

export const VOUCH = {
  /** The marker vouches for what was flushed. */
  YES: 0,
  /** It is being changed, or could not be. */
  CHANGING: 1,
  NO: 2,
  /** It never has, or is at its end. */
  NEVER: 3,
} as const;

/** Whether all that was flushed is in the image of export `x`, as far as anybody knows now. */
export function isWhole(shared: Shared, x: number): boolean {
  return setCount(shared.lost, x) === 0 && !syncFailed(shared, x);
}

/** Whether a sync of the image of export `x` has failed; then all later ones do (image/descriptor_image.ts). */
export function syncFailed({ imageFlags }: Shared, x: number): boolean {
  const flags = imageFlags[x];
  for (let i = 0; i < flags.length; i++) if (sync.load(flags, i) !== 0) return true;
  return false;
}

/** To be called when something has been lost: the marker is the main thread's. */
export function tellOfLoss({ dirty, boxes }: Shared): void {
  if (dirty !== null) wake(boxes, THREAD_MAIN);
}

/** Whether the marker has to be changed before anything more is vouched for. */
export function marksWrong(shared: Shared, x: number): boolean {
  const says = sync.load(shared.vouch, x);
  return says === VOUCH.CHANGING || (says === VOUCH.YES && !isWhole(shared, x));
}

/** Whether it could vouch again, once all of the export was flushed. */
export function marksTooLittle(shared: Shared, x: number): boolean {
  return sync.load(shared.vouch, x) === VOUCH.NO && isWhole(shared, x);
}
