/**
 * Limits of memcgs that pages have moved to. A store meets a limit by itself, but a report that is late gives a page to a memcg
 * whatever its limit is: nobody waits then, and where all reports are late nobody ever would. So what a move has taken above a
 * limit is written back in the background, the coldest of the memcg that got the pages, as a store's limit would have it.
 *
 *   moved   note the memcg
 *   a turn  batches of those noted, in turn, until no limit on their path is exceeded, or there is nothing to be had
 *
 * Where writeback is off there is nothing to be had, and the limit stays exceeded (agent.md says what that means).
 *
 * A memcg rests while its images are behind or its pages are in use, and all new ones with it. As by the worker it is given up after 16
 * batches in a row that achieved nothing, with a rest between any two; its next move notes it again. What is noted is bounded by the rows of the table.
 */
import type { Loop, Timer } from '../os/loop.ts';
import { currentOf, type Memcgs, ROOT } from '../pool/memcg.ts';
import { ENOENT, ENOMEM } from '../pool/slots.ts';
import type { Reclaim } from './reclaim.ts';

/** MAX_RECLAIM_RETRIES of the kernel. */
const FAILURES_MAX = 16;
const BATCHES_PER_TURN = 8;
/** How long a memcg rests whose pages are in use, or whose images are behind. */
const REST_MS = 50;

export class MovedPages {
  private readonly memcgs: Memcgs;
  private readonly reclaim: Reclaim;
  private readonly loop: Loop;
  private readonly schedule: () => void;
  private rest: Timer | null = null;
  /** By memcg: batches in a row that achieved nothing. */
  private readonly noted = new Map<number, number>();

  /** `schedule`: has turn() called soon. */
  constructor(memcgs: Memcgs, reclaim: Reclaim, loop: Loop, schedule: () => void) {
    this.memcgs = memcgs;
    this.reclaim = reclaim;
    this.loop = loop;
    this.schedule = schedule;
  }

  /** A page has come to memcg `m`. */
  note(m: number): void {
    if (!this.noted.has(m)) this.noted.set(m, 0);
  }

  close(): void {
    this.rest?.cancel();
  }

  /** True while there is more that can be done at once. */
  turn(): boolean {
    if (this.rest !== null) return false;
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
      else if (failures + 1 < FAILURES_MAX) resting.set(m, failures + 1);
    }
    const more = this.noted.size > 0;
    for (const [m, failures] of resting) this.noted.set(m, failures);
    if (!more && resting.size > 0) {
      this.rest = this.loop.after(REST_MS, () => {
        this.rest = null;
        this.schedule();
      });
    }
    return more;
  }
}

function isOver(t: Memcgs, m: number): boolean {
  for (let row = m; row !== ROOT; row = t.parent[row]) {
    if (t.max[row] !== Number.POSITIVE_INFINITY && currentOf(t, row) > t.max[row]) return true;
  }
  return false;
}
