/**
 * The tree of memcgs on the main thread of a server, and what there is to do about it: rows of those that are gone are given
 * back in time, and what memory.reclaim asks for is asked of the shrinker's thread.
 */
import * as errno from '../os/errno.ts';
import type { Loop, Timer } from '../os/loop.ts';
import { type Clock, TICKS_PER_SECOND, tickBefore } from '../pool/access_time.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import { MemcgTree } from '../pool/memcg_tree.ts';
import type { Shared } from '../pool/shared.ts';
import type { ShrinkerAsks } from './shrinker_asks.ts';

/** Whoever makes or lists memcgs looks for free rows as well; so a dying one is not named for long where nobody does. */
const REAP_MS = 250;

export class ServedMemcgs {
  readonly tree: MemcgTree;
  private readonly clock: Clock;
  private readonly asks: ShrinkerAsks;
  private readonly reaping: Timer;

  constructor(shared: Shared, loop: Loop, asks: ShrinkerAsks) {
    this.tree = new MemcgTree(shared, THREAD_MAIN);
    this.clock = shared.clock;
    this.asks = asks;
    this.reaping = loop.every(REAP_MS, () => this.tree.reap());
  }

  close(): void {
    this.reaping.cancel();
  }

  /** As ReclaimBytes of the files has it. */
  readonly reclaim = async (
    m: number,
    bytes: number,
    ageSeconds: number | null,
    gone: AbortSignal,
  ): Promise<number> => {
    // A tick more than was asked for, because the one that a page was used in may have been at its end then. But every page
    // has been unused for no time at all, also one of this tick.
    const ticks = ageSeconds === null || ageSeconds === 0 ? ageSeconds : ageSeconds * TICKS_PER_SECOND + 1;
    const since = ticks === null ? null : tickBefore(this.clock, ticks);
    const answer = await this.asks.ask({ type: 'reclaim', m, bytes, unusedSince: since }, gone);
    return answer?.type === 'reclaimed' ? answer.errno : errno.EAGAIN;
  };
}
