/**
 * Turns of a lane's event loop, for work that requests go on with by themselves: TRIM and WRITE_ZEROES, slice after slice. The
 * budget of a connection does not see it, and answers of the shrinker come as fast as it is done, so without an end of each turn
 * those of one client would take them all.
 *
 * Invariants: after SLOTS_PER_TURN slots everybody else on the lane gets a turn, whoever the slots belong to; what waits here
 * goes on first come, first served, but for what holds a claim already, which others wait for. One entry per request: bounded by the requests in flight.
 */
import type { Loop } from '../os/loop.ts';

/** About half a millisecond if all of them are stored; a slice has as many. */
const SLOTS_PER_TURN = 512;

/** Work that goes on when it is resumed. */
interface Work {
  resume(): void;
}

export class Turns {
  private readonly loop: Loop;
  private readonly waiting: Work[] = [];
  private left = SLOTS_PER_TURN;
  private running = false;
  private scheduled = false;

  constructor(loop: Loop) {
    this.loop = loop;
  }

  /** False when this turn has had its work: then `work` is resumed in a later one, before all that hold nothing if it `holds`. */
  take(work: Work, holds: boolean): boolean {
    if (this.running || (this.left > 0 && (holds || this.waiting.length === 0))) return true;
    if (holds) this.waiting.unshift(work);
    else this.waiting.push(work);
    this.schedule();
    return false;
  }

  /** Work on so many slots was done. */
  spend(slots: number): void {
    this.left -= slots;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.loop.defer(() => this.turn());
  }

  private turn(): void {
    this.scheduled = false;
    this.left = SLOTS_PER_TURN;
    while (this.left > 0) {
      const work = this.waiting.shift();
      if (work === undefined) return;
      this.running = true;
      work.resume();
      this.running = false;
    }
    if (this.waiting.length > 0) this.schedule();
  }
}
