/**
 * The read buffers of one connection, and its READs that wait for some.
 *
 * Those are no reason to stop what comes behind them: a WRITE that the device takes at once must not wait for the reads of
 * another client. The bound of requests in flight bounds them.
 *
 * Invariants:
 * - a request gets all that it needs at once, so none holds some and waits for more;
 * - they get them in order: a request that needs many is not passed by others that need one, and the connection comes to
 *   hold none, which is when it is given whatever that one needs;
 * - a connection that has such requests holds a buffer, whose return is an event for it.
 */
import type { Device } from './device.ts';
import { giveReadBuffer, hasReadBuffers, takeReadBuffer } from './read_buffers.ts';
import type { Request } from './request.ts';

export class HeldBuffers {
  readonly #device: Device;
  #held = 0;
  #hungry: Request | null = null;
  #hungriest: Request | null = null;

  constructor(device: Device) {
    this.#device = device;
  }

  get hungry(): boolean {
    return this.#hungry !== null;
  }

  /** Gives a request the `n` buffers that it needs, or lets it wait for them. One that is `urgent` can't wait. */
  take(request: Request, n: number, urgent: boolean): boolean {
    request.hunger = n;
    if (urgent || (this.#hungry === null && hasReadBuffers(this.#device, this.#held, n))) {
      this.#feed(request);
      return true;
    }
    request.next = null;
    if (this.#hungriest === null) this.#hungry = request;
    else this.#hungriest.next = request;
    this.#hungriest = request;
    return false;
  }

  /** The next request that waited and has its buffers now, or null if there are none for it. */
  fed(): Request | null {
    const request = this.#hungry;
    if (request === null || !hasReadBuffers(this.#device, this.#held, request.hunger)) return null;
    this.#feed(request);
    return this.forgo();
  }

  /** Takes the next request out of those that wait. */
  forgo(): Request | null {
    const request = this.#hungry;
    if (request === null) return null;
    this.#hungry = request.next;
    if (this.#hungry === null) this.#hungriest = null;
    request.next = null;
    return request;
  }

  giveBack(request: Request): void {
    for (let buffer = request.buffers.pop(); buffer !== undefined; buffer = request.buffers.pop()) {
      giveReadBuffer(this.#device, this.#held, buffer);
      this.#held--;
    }
  }

  #feed(request: Request): void {
    while (request.buffers.length < request.hunger) {
      request.buffers.push(takeReadBuffer(this.#device, this.#held));
      this.#held++;
    }
  }
}
