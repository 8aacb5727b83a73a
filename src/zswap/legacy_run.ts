/**
 * A run of the global worker as it was from 6.8 to 6.11, by the cursor of that time (cursor.ts). It differs from today's in what
 * counts as a failure, besides in whose turn it is:
 *
 *   each round over the memcgs, each meeting with one that is offline, and each memcg that gave nothing, be it that it has nothing,
 *   is a failure; nothing makes up for one, and the 16th ends the run
 *   a memcg that may not write back ends the run at once, also where it has no pages
 *
 * 81920438a6dc mended both halves of this. So a run comes round 16 times at most, and with 16 memcgs that are empty not once. The
 * next store that is rejected begins another, where the cursor stands.
 *
 * One thing is ours: where the images of a memcg are behind the run waits for the next wake-up, and goes on behind it. That is no
 * failure, as it was none of the kernel's to wait for its device.
 */
import type { Memcgs } from '../pool/memcg.ts';
import { ENOMEM } from '../pool/slots.ts';
import { Cursor, WENT_BACK } from './cursor.ts';

/** MAX_RECLAIM_RETRIES of the kernel, of a whole run. */
const FAILURES_MAX = 16;

/** What a run asks of reclaim (reclaim.ts). */
interface Shrinks {
  isBehind(m: number): boolean;
  shrinkMemcg(m: number): number;
}

export class LegacyRun {
  private readonly cursor: Cursor;
  private failures = 0;

  constructor(memcgs: Memcgs) {
    this.cursor = new Cursor(memcgs, 'legacy');
  }

  /** Up to `batches` of them. Null: the run is over. False: it waits for an image. */
  turn(reclaim: Shrinks, batches: number, isShort: () => boolean): boolean | null {
    for (let done = 0; done < batches; done++) {
      const m = this.cursor.next();
      const wentBack = m === WENT_BACK;
      if (!wentBack && this.cursor.endsRun(m)) return this.end();
      if (!wentBack && reclaim.isBehind(m)) return false;
      const result = wentBack ? null : reclaim.shrinkMemcg(m);
      if (result === ENOMEM) return false;
      if (result !== 0 && ++this.failures >= FAILURES_MAX) return this.end();
      if (!isShort()) return this.end();
    }
    return true;
  }

  private end(): null {
    this.failures = 0;
    return null;
  }
}
