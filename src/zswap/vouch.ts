/**
 * Whether the marker of a strict server may vouch for what it has flushed: not from the moment on at which the server knows that
 * something may not be there, because a page was lost or a sync has failed. That is for good. A lost page that is written again
 * is on the image only some time after its WRITE, and nobody keeps account of when; a clean stop removes the marker.
 *
 * One word per export. Whoever loses a page doubts; the main thread has the marker say so (server/vouching.ts), and whoever
 * answers a FLUSH or a FUA waits until it does:
 *   1. a page is found lost   2. a FLUSH of others ends well, and is answered   3. the server is killed
 *   4. the next one serves the wrong page as one that was flushed
 */
import { THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { wake } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';

export const VOUCH = {
  /** The marker vouches for what was flushed. */
  YES: 0,
  /** It must not any more, and does yet. */
  DOUBTED: 1,
  /** It does not, or there is none that this server has to do with. */
  NO: 2,
} as const;

/** Something that was flushed may not be there. The caller has nothing answered of it yet. */
export function doubt({ dirty, vouch, boxes }: Shared, x: number): void {
  if (dirty === null || sync.load(vouch, x) !== VOUCH.YES) return;
  sync.store(vouch, x, VOUCH.DOUBTED);
  wake(boxes, THREAD_MAIN);
}

/** Whether the marker has to be changed before a FLUSH or a FUA is answered. */
export function vouchesTooMuch(shared: Shared, x: number): boolean {
  if (syncFailed(shared, x)) doubt(shared, x);
  return sync.load(shared.vouch, x) === VOUCH.DOUBTED;
}

/** Whether a sync of the image of export `x` has failed; then all later ones do (image/descriptor_image.ts). */
export function syncFailed({ imageFlags }: Shared, x: number): boolean {
  const flags = imageFlags[x];
  for (let i = 0; i < flags.length; i++) if (sync.load(flags, i) !== 0) return true;
  return false;
}
