/**
 * Limits of memcgs that pages have moved to. A store meets a limit by itself, but a report that is late gives a page to a memcg
 * whatever its limit is: nobody waits then, and where all reports are late nobody ever would. So what a move has taken above a
 * limit is written back in the background, the coldest of the memcg that got the pages, as a store's limit would have it.
 *
 *   moved   note the memcg
 *   a turn  batches of those noted, in turn, until no limit on their path is exceeded, or there is nothing to be had
 *
 * As for the worker, a memcg is passed by while its images are behind, and given up after 16 batches in a row that achieved nothing;
 * its next move notes it again. What is noted is bounded by the rows of the table.
 */
import { currentOf, type Memcgs, ROOT } from '../pool/memcg.ts';
import { ENOENT, ENOMEM } from '../pool/slots.ts';
import type { Reclaim } from './reclaim.ts';

/** MAX_RECLAIM_RETRIES of the kernel. */
const FAILURES_MAX = 16;
const BATCHES_PER_TURN = 8;

export class MovedPages {
  private readonly memcgs: Memcgs;
  private readonly reclaim: Reclaim;
  /** By memcg: batches in a row that achieved nothing. */
  private readonly noted = new Map<number, number>();

  constructor(memcgs: Memcgs, reclaim: Reclaim) {
    this.memcgs = memcgs;
    this.reclaim = reclaim;
  }

  /** A page has come to memcg `m`. */
  note(m: number): void {
    if (!this.noted.has(m)) this.noted.set(m, 0);
  }

  /** Some may wait for buffers, of which nobody tells us. */
  get waits(): boolean {
    return this.noted.size > 0;
  }

  /** True while there is more that can be done at once. */
  turn(): boolean {
    let batches = 0;
    const resting = new Map<number, number>();
    while (this.noted.size > 0 && batches < BATCHES_PER_TURN) {
      const [[m, failures]] = this.noted;
      this.noted.delete(m);
      if (!isOver(this.memcgs, m)) continue;
      const result = this.reclaim.isBehind(m) ? ENOMEM : this.reclaim.shrinkMemcg(m);
      if (result === ENOENT) continue;
      batches++;
      if (result === ENOMEM) resting.set(m, failures);
      else if (result === 0 || this.reclaim.rotated > 0) this.noted.set(m, 0);
      else if (failures + 1 < FAILURES_MAX) this.noted.set(m, failures + 1);
    }
    const more = this.noted.size > 0;
    for (const [m, failures] of resting) this.noted.set(m, failures);
    return more;
  }
}

function isOver(t: Memcgs, m: number): boolean {
  for (let row = m; row !== ROOT; row = t.parent[row]) {
    if (t.max[row] !== Number.POSITIVE_INFINITY && currentOf(t, row) > t.max[row]) return true;
  }
  return false;
}
