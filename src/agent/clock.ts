// When an event was, by the server's clock: the trace's events have CLOCK_MONOTONIC of the guest, which means nothing elsewhere.
//
// Each answer has the server's time. So the server said that time between our question and our answer, whatever both clocks read:
//   an event that we stamped when an answer was there already happened later than what that answer says,
//   and one that we stamped before we asked happened earlier than what the answer to it says.
// An event between two exchanges therefore happened between the two times that the server said. That takes for granted that our clock does
// not go back, and nothing else: not how long an exchange took, nor that the clocks go at the same pace. A guest that is stopped has a
// clock that stands still, one that wakes up has one that jumps, a disciplined one is slewed by up to a tenth; any of it may hide
// in the time that a slow exchange takes, and cancel what came before, so an offset that was measured holds at no other moment.
//
// The price: an event is known by no better than the exchanges around it are apart. Where there are events, there is an exchange for each
// batch of them; and what is lost is a free of a page that was stored no longer before it than that.
import type { Records } from './wire.ts';

/** So many are remembered: two for each batch that may wait, those of a few connections, and the one before all of them. */
const EXCHANGES_MAX = 64;
/** What rounding adds, of the server's time, of ours, and of a record's. */
const ROUNDING_US = 2;

interface Exchange {
  /** By our clock, before and after. */
  readonly asked: number;
  readonly answered: number;
  /** What the server said. */
  readonly server: number;
}

/** What is added to our times for the server's, in µs, and how wrong that is at most. */
interface Bound {
  readonly offset: number;
  readonly error: number;
}

/** CLOCK_MONOTONIC in µs. */
export function now(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

export class Clock {
  /** In the order of their times. */
  private readonly exchanges: Exchange[] = [];

  /** Times before this one have a bound. */
  get comparedAt(): number {
    return this.exchanges.at(-1)?.asked ?? Number.NEGATIVE_INFINITY;
  }

  exchanged(asked: number, answered: number, server: number): void {
    const last = this.exchanges.at(-1);
    // A server whose clock goes back is another one.
    if (last !== undefined && server < last.server) this.forget();
    if (this.exchanges.length === EXCHANGES_MAX) this.exchanges.shift();
    this.exchanges.push({ asked, answered, server });
  }

  /** For all of these times; of none, for that before the last exchange. */
  bound({ time, count }: Pick<Records, 'time' | 'count'>): Bound {
    let { least, most } = this.offsetsAt(count === 0 ? this.comparedAt - 1 : time[0]);
    for (let i = 1; i < count; i++) {
      const at = this.offsetsAt(time[i]);
      least = Math.min(least, at.least);
      most = Math.max(most, at.most);
    }
    if (!Number.isFinite(most)) return { offset: 0, error: Number.POSITIVE_INFINITY };
    return { offset: (least + most) / 2, error: (most - least) / 2 + ROUNDING_US };
  }

  private offsetsAt(time: number): { least: number; most: number } {
    let at = this.exchanges.length - 1;
    let earliest = 0;
    let latest = Number.POSITIVE_INFINITY;
    for (; at >= 0 && this.exchanges[at].asked > time; at--) latest = this.exchanges[at].server;
    // One that was under way then may have been answered before or after, and so may one of the same tick of a coarse clock.
    while (at >= 0 && this.exchanges[at].answered >= time) at--;
    if (at >= 0) earliest = this.exchanges[at].server;
    return { least: earliest - time, most: latest - time };
  }

  /** The server was started again, and counts from elsewhere. */
  forget(): void {
    this.exchanges.length = 0;
  }
}
