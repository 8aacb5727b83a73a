/**
 * Requests that somebody waits for, of one kind: a step for each in turn, until it is answered, its deadline is over or who asked
 * has gone. They belong to the shrinker's thread, and are as many as ask at a time (RECLAIMS_MAX, control/limits.ts).
 */
import type { Loop, Timer } from '../os/loop.ts';

export class Asked<R> {
  private readonly loop: Loop;
  private readonly schedule: () => void;
  /** In turn. */
  private requests: R[] = [];
  private readonly deadlines = new Map<R, Timer>();

  /** `schedule`: has turn() called soon. */
  constructor(loop: Loop, schedule: () => void) {
    this.loop = loop;
    this.schedule = schedule;
  }

  /** `giveUp` is called after `ms` if the request is still there. Returns what calls it before, once at most. */
  begin(request: R, ms: number, giveUp: () => void): () => void {
    const end = (): void => {
      if (this.has(request)) giveUp();
    };
    this.deadlines.set(request, this.loop.after(ms, end));
    this.requests.push(request);
    this.schedule();
    return end;
  }

  has(request: R): boolean {
    return this.requests.includes(request);
  }

  /** To be called before its answer. */
  end(request: R): void {
    this.requests = this.requests.filter((other) => other !== request);
    this.deadlines.get(request)?.cancel();
    this.deadlines.delete(request);
  }

  /** Some may wait for what nobody tells us of. */
  get waits(): boolean {
    return this.requests.length > 0;
  }

  close(): void {
    for (const request of this.requests) this.end(request);
  }

  /**
   * A step for each request in turn, while `goesOn` says so. `step` answers false where nothing can be done before an image gives
   * buffers back. True while there is more that can be done at once.
   */
  turn(goesOn: () => boolean, step: (request: R) => boolean): boolean {
    const resting: R[] = [];
    while (this.requests.length > 0 && goesOn()) {
      const [request] = this.requests;
      const more = step(request);
      if (this.requests[0] !== request) continue;
      this.requests.shift();
      (more ? this.requests : resting).push(request);
    }
    const more = this.requests.length > 0;
    this.requests.push(...resting);
    return more;
  }
}
