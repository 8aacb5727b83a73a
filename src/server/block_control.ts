/**
 * What the main thread does for the files of /block: it moves the clock that pages are stamped with, and keeps what of an
 * export is set there: since when pages are idle, the limit of writeback on demand, the most memory it had.
 *
 * Idle is no bit of a page but a tick of its export: idle is what was not used since. So marking costs the same however much
 * is stored, and a use clears the mark by itself. As in zram a mark takes the place of the one before. "all" means what was
 * used up to now, and now is a tick that is not over yet, so its answer comes with the next one:
 *   1. a page is stored in tick 7   2. "all" is asked for   3. tick 8: idle is what was used up to 7, and it is answered
 *   4. the page is read, in 8 or later: it is not idle
 */
import type { BlockControls } from '../control/fs/block.ts';
import type { WritebackText } from '../control/fs/writeback_text.ts';
import type { Loop, Timer } from '../os/loop.ts';
import { TICK_MS, TICKS_PER_SECOND, tickBefore } from '../pool/access_time.ts';
import { limitLeft, limitWriteback, memoryOf } from '../pool/export_accounts.ts';
import type { Shared } from '../pool/shared.ts';
import type { Outcome } from '../zswap/wanted.ts';
import type { ShrinkerAsks } from './shrinker_asks.ts';

interface Export {
  /** The tick since which its idle pages were not used; null before the first mark. */
  idleSince: number | null;
  /** Pages, where it is not in force: shared memory has it otherwise (export_accounts.ts). */
  limit: number;
  limited: boolean;
  memoryMax: number;
  writing: boolean;
}

export class BlockControl implements BlockControls {
  private readonly shared: Shared;
  private readonly asks: ShrinkerAsks;
  private readonly now: () => number;
  private readonly began: number;
  private readonly timer: Timer;
  private readonly exports: Export[];
  /** Marks that wait for the end of the tick: a connection of the control socket each. */
  private marks: (() => void)[] = [];

  /** `now`: milliseconds of a clock that only goes on. */
  constructor(shared: Shared, loop: Loop, asks: ShrinkerAsks, now: () => number = () => performance.now()) {
    this.shared = shared;
    this.asks = asks;
    this.now = now;
    this.began = now();
    this.exports = shared.settings.exports.map(() => {
      return { idleSince: null, limit: 0, limited: false, memoryMax: 0, writing: false };
    });
    this.timer = loop.every(TICK_MS, () => this.tick());
  }

  close(): void {
    this.timer.cancel();
  }

  /** A thread that was kept from its timer goes to where the time is. */
  private tick(): void {
    const { clock } = this.shared;
    const before = clock[0];
    clock[0] = Math.floor((this.now() - this.began) / TICK_MS);
    this.exports.forEach((_, x) => void this.memoryMax(x));
    if (clock[0] === before) return;
    for (const mark of this.marks.splice(0)) mark();
  }

  memoryMax(x: number): number {
    const one = this.exports[x];
    one.memoryMax = Math.max(one.memoryMax, memoryOf(this.shared.accounts, x));
    return one.memoryMax;
  }

  resetMemoryMax(x: number): void {
    this.exports[x].memoryMax = memoryOf(this.shared.accounts, x);
  }

  async markIdle(x: number, seconds: number): Promise<void> {
    const { clock } = this.shared;
    const one = this.exports[x];
    if (seconds > 0) {
      // A tick more, because the one that a page was used in may have been at its end then.
      one.idleSince = tickBefore(clock, seconds * TICKS_PER_SECOND + 1);
      return;
    }
    const [at] = clock;
    await new Promise<void>((resolve) => this.marks.push(resolve));
    one.idleSince = at;
  }

  async writeback(x: number, { huge, idle, slots }: WritebackText, gone: AbortSignal): Promise<Outcome> {
    const one = this.exports[x];
    // As zram has it: one at a time, of a device.
    if (one.writing) return 'crowded';
    // Nothing is idle before somebody says so.
    if (idle && one.idleSince === null) return 'done';
    one.writing = true;
    const wanted = { x, huge, slots, unusedSince: idle ? one.idleSince : null };
    const answer = await this.asks.ask({ type: 'writeBack', wanted }, gone);
    one.writing = false;
    return answer?.type === 'wroteBack' ? answer.outcome : 'crowded';
  }

  limit(x: number): number {
    const one = this.exports[x];
    return one.limited ? limitLeft(this.shared.accounts, x) : one.limit;
  }

  setLimit(x: number, pages: number): void {
    this.exports[x].limit = pages;
    if (this.exports[x].limited) limitWriteback(this.shared.accounts, x, pages);
  }

  limitEnabled(x: number): boolean {
    return this.exports[x].limited;
  }

  enableLimit(x: number, on: boolean): void {
    const one = this.exports[x];
    if (one.limited === on) return;
    // Off, it stays what it is by then.
    if (!on) one.limit = this.limit(x);
    one.limited = on;
    limitWriteback(this.shared.accounts, x, on ? one.limit : Number.POSITIVE_INFINITY);
  }
}
