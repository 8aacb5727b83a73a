/**
 * memory.reclaim: writes back so many compressed bytes of a memcg and what is below it, because somebody asked for it and not
 * because a limit was met. It belongs to the shrinker's thread, and takes turns with everything else there: a turn is a few
 * batches, then the event loop runs.
 *
 *   a batch of the coldest of each memcg of the subtree, in the order of the worker's cursor, round after round, until
 *     enough has left                                     0
 *     a round finds nothing that may leave, and no list moved meanwhile: EAGAIN
 *     16 rounds in a row achieve nothing                  EAGAIN, as in the kernel
 *     the deadline is over, or who asked has gone         EAGAIN
 *
 * A page that gets its second chance is an achievement, because the next round finds it without. A round that only lacks
 * buffers rests until an image has given one back; that is no failure, and the deadline bounds it.
 *
 * The worker, stores at their limits and others who asked may be at the same lists meanwhile. Each batch begins at the head,
 * under the lock of its list, and counts what it has written itself, so that two never count a page twice. A memcg of the
 * subtree that goes offline leaves its pages to its parent, which is met in its turn or, if it was passed by before, in another
 * round; where it is the one that was named, they have left the subtree, and a round finds nothing. Its row stays its own until the answer (MemcgTree.hold).
 */
import * as errno from '../os/errno.ts';
import type { Loop } from '../os/loop.ts';
import { CELL, countEvent, type Memcgs, nextHome, ROOT, TABLE } from '../pool/memcg.ts';
import { ENOENT, ENOMEM } from '../pool/slots.ts';
import { Asked } from './asked.ts';
import { C } from './counters.ts';
import type { Reclaim } from './reclaim.ts';
import type { Zswap } from './zswap.ts';

/** MAX_RECLAIM_RETRIES of the kernel. */
const FAILURES_MAX = 16;
/** Of all requests together. */
const BATCHES_PER_TURN = 8;
/** Memcgs that a turn may look at and pass by because they are not of the subtree: some 100 us. */
const LOOKS_PER_TURN = 4096;

interface Request {
  readonly m: number;
  readonly done: (errno: number) => void;
  /** Bytes still to be written back. */
  left: number;
  cursor: number;
  /** Memcgs that this round has looked at, and what came of its batches. */
  looked: number;
  achieved: boolean;
  tried: boolean;
  behind: boolean;
  /** TABLE.MOVED when it began. */
  moved: number;
  /** Rounds in a row that achieved nothing. */
  failures: number;
}

export class Proactive {
  private readonly zswap: Zswap;
  private readonly reclaim: Reclaim;
  private readonly asked: Asked<Request>;
  /** Where the last request came to, so that small ones don't take all from the same memcg. */
  private cursor = 0;

  /** `schedule`: has turn() called soon. */
  constructor(zswap: Zswap, reclaim: Reclaim, loop: Loop, schedule: () => void) {
    this.zswap = zswap;
    this.reclaim = reclaim;
    this.asked = new Asked(loop, schedule);
  }

  /** Calls `done` once, never from here; after `ms` at the latest. Returns what ends it before. */
  begin(m: number, bytes: number, ms: number, done: (errno: number) => void): () => void {
    const moved = this.zswap.memcgs.control[TABLE.MOVED];
    const request: Request = {
      ...{ m, done, left: bytes, cursor: this.cursor, failures: 0 },
      ...{ looked: 0, achieved: false, tried: false, behind: false, moved },
    };
    return this.asked.begin(request, ms, () => this.end(request, errno.EAGAIN));
  }

  get waits(): boolean {
    return this.asked.waits;
  }

  close(): void {
    this.asked.close();
  }

  /** True while there is more that can be done at once. */
  turn(): boolean {
    const budget = { batches: BATCHES_PER_TURN, looks: LOOKS_PER_TURN };
    return this.asked.turn(
      () => budget.batches > 0 && budget.looks > 0,
      (request) => this.step(request, budget),
    );
  }

  /** One batch, or the end of a round. False: nothing can be done before an image gives buffers back. */
  private step(request: Request, budget: { batches: number; looks: number }): boolean {
    const { memcgs } = this.zswap;
    const homes = memcgs.control[TABLE.HOMES];
    for (; request.looked < homes && budget.looks > 0; budget.looks--) {
      const m = nextHome(memcgs, request.cursor);
      request.looked++;
      request.cursor = m + 1;
      this.cursor = m + 1;
      if (!isBelow(memcgs, m, request.m)) continue;
      budget.batches--;
      this.batch(request, m);
      return true;
    }
    if (request.looked < homes) return true;
    budget.looks--;
    return this.endRound(request);
  }

  private batch(request: Request, m: number): void {
    const { reclaim } = this;
    if (reclaim.isBehind(m)) {
      request.behind = true;
      return;
    }
    const result = reclaim.shrinkMemcg(m);
    const { writtenBytes, rotated } = reclaim;
    countEvent(this.zswap.memcgs, this.zswap.thread, m, CELL.PROACTIVE, writtenBytes);
    this.zswap.counters[C.zswpwb_proactive_b] += writtenBytes;
    request.left -= writtenBytes;
    if (request.left <= 0) {
      this.end(request, 0);
      return;
    }
    if (writtenBytes > 0 || rotated > 0) request.achieved = true;
    if (result === ENOMEM) request.behind = true;
    else if (result !== ENOENT) request.tried = true;
  }

  private endRound(request: Request): boolean {
    const { achieved, tried, behind } = request;
    const moved = this.zswap.memcgs.control[TABLE.MOVED];
    const complete = moved === request.moved;
    Object.assign(request, { looked: 0, achieved: false, tried: false, behind: false, moved });
    if (achieved) request.failures = 0;
    else if (behind) return false;
    else if (tried ? ++request.failures >= FAILURES_MAX : complete) this.end(request, errno.EAGAIN);
    return true;
  }

  private end(request: Request, result: number): void {
    this.asked.end(request);
    request.done(result);
  }
}

/** `m` itself is. A row's parent stays while it is in use, also when it is offline. */
function isBelow({ parent }: Memcgs, m: number, above: number): boolean {
  let row = m;
  while (row !== above && row !== ROOT) row = parent[row];
  return row === above;
}
