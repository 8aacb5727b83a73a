/**
 * What each command asks of the device and of the answers, once it was checked; and what follows when its effect is there.
 */

import * as wire from '../wire.ts';
import type { ConnectionCounters } from './counters.ts';
import type { Device } from './device.ts';
import { RangeOrder } from './range_order.ts';
import type { Request } from './request.ts';
import * as phase from './request.ts';
import type { Answers } from './request_pool.ts';
import { BLOCK_UNITS, type TurnBudget } from './turn_budget.ts';

export class Commands {
  /** What later requests may have to wait for; nothing, where the device keeps the order itself. */
  readonly ranges = new RangeOrder();

  readonly #device: Device;
  readonly #answers: Answers;
  readonly #counters: ConnectionCounters;
  readonly #budget: TurnBudget;
  /** Calls that the device has not settled, but for READs and the blocks of WRITEs. */
  #calls = 0;

  constructor(device: Device, answers: Answers, counters: ConnectionCounters, budget: TurnBudget) {
    this.#device = device;
    this.#answers = answers;
    this.#counters = counters;
    this.#budget = budget;
  }

  get busy(): boolean {
    return this.#calls > 0;
  }

  /** The device has settled one of its calls. */
  returned(request: Request): void {
    this.#calls--;
    if (!this.ranges.empty) this.ranges.end(request);
  }

  /** Begins a request that carries no payload. */
  dispatch(request: Request): void {
    const { offset, length } = request;
    switch (request.type) {
      case wire.NBD_CMD_READ:
        this.#counters.reads++;
        this.#answers.read(request);
        break;
      case wire.NBD_CMD_BLOCK_STATUS:
        this.#answers.status(request);
        break;
      case wire.NBD_CMD_CACHE:
        // The data is in memory or about to be evicted from it: there is nothing useful to do, which is allowed.
        this.#answers.reply(request);
        break;
      case wire.NBD_CMD_FLUSH:
        this.#counters.flushes++;
        this.#range(request);
        this.#device.flush!(request);
        break;
      case wire.NBD_CMD_TRIM:
        this.#counters.trims++;
        this.#ordered(request);
        this.#device.trim!(request, offset, length);
        break;
      default:
        this.#counters.writeZeroes++;
        this.#ordered(request);
        this.#budget.spend(this.#cutBlocks(offset, offset + length) * BLOCK_UNITS);
        this.#zero(request, offset, length);
    }
  }

  /** The request's effect is there; with FUA, or on a device that writes through, it has to be durable before the reply. */
  applied(request: Request): void {
    const durably = this.#device.writeThrough === true || (request.flags & wire.NBD_CMD_FLAG_FUA) !== 0;
    if (durably && request.error === 0 && request.length > 0) {
      request.phase = phase.PHASE_PERSIST;
      request.outstanding = 1;
      this.#calls++;
      this.#device.persist!(request, request.offset, request.length);
    } else {
      this.#answers.reply(request);
    }
  }

  #zero(request: Request, offset: number, length: number): void {
    const noHole = (request.flags & wire.NBD_CMD_FLAG_NO_HOLE) !== 0;
    const fast = (request.flags & wire.NBD_CMD_FLAG_FAST_ZERO) !== 0;
    this.#device.zero!(request, offset, length, noHole, fast);
  }

  /** Blocks of which only a part is in [offset, end): to zero that, a device reads and stores each of them. */
  #cutBlocks(offset: number, end: number): number {
    const { blockSize } = this.#device;
    const cut = Number(offset % blockSize !== 0) + Number(end % blockSize !== 0);
    return cut === 2 && Math.floor(offset / blockSize) === Math.floor(end / blockSize) ? 1 : cut;
  }

  #ordered(request: Request): void {
    this.#range(request);
    if (this.#device.keepsOrder !== true) this.ranges.begin(request);
  }

  #range(request: Request): void {
    request.phase = phase.PHASE_RANGE;
    request.outstanding = 1;
    this.#calls++;
    // A device looks at the whole range for what is in use there, however little that is.
    this.#budget.scanned(request.length / this.#device.blockSize, 1);
  }
}
