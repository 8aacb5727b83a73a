/**
 * WRITE: payload is handed to the device block by block as it arrives.
 *
 * A WRITE keeps its place at the front while one of its blocks waits. Going past it would mean to gather its payload
 * somewhere, without a bound, or to apply later units before earlier ones.
 *
 * Invariants:
 * - a block is handed over when all its bytes are there, never earlier, so that no peer can hold a claim on it by being
 *   slow;
 * - the payload of a WRITE that has failed is swallowed to its end, so the stream stays in step;
 * - at most MAX_TAKEN blocks of the connection are with the device, and MAX_TAKEN_BYTES, of one WRITE or of many.
 */
import type { ConnectionCounters } from './counters.ts';
import { type Device, OK, TAKEN, WAIT } from './device.ts';
import type { PeerFence } from './fence.ts';
import type { Inbox } from './inbox.ts';
import { PHASE_WRITE, type Request } from './request.ts';
import { BLOCK_UNITS, type TurnBudget } from './turn_budget.ts';

/** What a device has copied of one connection and not settled: the one with blocks of up to 4 KiB, the other with larger ones. */
const MAX_TAKEN = 256;
const MAX_TAKEN_BYTES = 1024 * 1024;

/** The whole payload was consumed. */
export const RECEIVED = 0;
/** More bytes have to arrive, a block waits, or the budget of this turn is spent. */
const STUCK = 1;

export class WritePath {
  /** The WRITE whose payload is arriving. */
  receiving: Request | null = null;
  /** Whether its next block waits, for `resume` or until fewer blocks are with the device. */
  waiting = false;
  /** Whether the request was counted as one that waited. */
  #counted = false;
  /** Set from a WAIT until the device has answered otherwise: `resume` makes no end of it, the repeated call does. */
  #unsettled = false;
  /** Set by a `resume` that came in the middle of the call that answers WAIT. */
  #woken = false;
  /** Blocks that are with the device, and whether the next one waits because they are too many. */
  #taken = 0;
  #full = false;

  readonly #device: Device;
  readonly #blockSize: number;
  readonly #mostTaken: number;
  readonly #inbox: Inbox;
  readonly #fence: PeerFence;
  readonly #counters: ConnectionCounters;
  readonly #overtaken: () => boolean;
  readonly #budget: TurnBudget;

  /** `overtaken` tells, on a connection that is behind, whether it has to stop because its peer is gone. */
  constructor(o: {
    device: Device;
    inbox: Inbox;
    fence: PeerFence;
    counters: ConnectionCounters;
    budget: TurnBudget;
    overtaken: () => boolean;
  }) {
    this.#device = o.device;
    this.#blockSize = o.device.blockSize;
    this.#mostTaken = Math.min(MAX_TAKEN, Math.floor(MAX_TAKEN_BYTES / this.#blockSize));
    this.#inbox = o.inbox;
    this.#fence = o.fence;
    this.#counters = o.counters;
    this.#budget = o.budget;
    this.#overtaken = o.overtaken;
  }

  begin(request: Request): void {
    request.phase = PHASE_WRITE;
    request.missing = request.length;
    this.#counted = false;
    this.receiving = request;
  }

  /** The device asks for a repeated call. */
  wake(): void {
    this.waiting = false;
    this.#woken = true;
  }

  /** Whether a WRITE is arriving, or a block of one is with the device. */
  get busy(): boolean {
    return this.receiving !== null || this.#taken > 0;
  }

  /** The device has settled a block that it had taken. */
  returned(): void {
    this.#taken--;
    if (!this.#full) return;
    this.#full = false;
    this.waiting = false;
  }

  /** Consumes what has arrived of the payload. */
  consume(request: Request): number {
    const size = this.#blockSize;
    const inbox = this.#inbox;
    while (request.missing > 0) {
      if (this.#fence.behind && this.#overtaken()) return STUCK;
      const arrived = inbox.end - inbox.start;
      // A block that waited is offered again even if another one failed by now, since its device may hold a place for it.
      if (request.error !== 0 && !this.#unsettled) {
        const n = Math.min(arrived, request.missing);
        inbox.start += n;
        request.missing -= n;
        if (request.missing > 0) return STUCK;
        break;
      }
      const block = Math.floor(request.position / size);
      const within = request.position - block * size;
      const n = Math.min(size - within, request.missing);
      if (arrived < n) return STUCK;
      if (this.#budget.spent) return STUCK;
      if (this.#taken >= this.#mostTaken) {
        this.#full = true;
        return this.#wait();
      }
      this.#budget.spend(BLOCK_UNITS);
      this.#woken = false;
      const result =
        n === size
          ? this.#device.write!(request, block, inbox.bytes, inbox.start)
          : this.#device.writePart!(request, block, within, n, inbox.bytes, inbox.start);
      if (result === WAIT) {
        this.#unsettled = true;
        this.#wait();
        this.waiting = !this.#woken;
        return STUCK;
      }
      this.#unsettled = false;
      if (result === TAKEN) {
        request.outstanding++;
        this.#taken++;
      } else if (result !== OK) request.fail(result, '');
      inbox.start += n;
      request.position += n;
      request.missing -= n;
    }
    this.receiving = null;
    return RECEIVED;
  }

  #wait(): number {
    this.waiting = true;
    this.#fence.behind = true;
    if (!this.#counted) this.#counters.parks++;
    this.#counted = true;
    return STUCK;
  }

  /** A block has waited and may be offered again: its device may hold a place for it, which others wait for. */
  get held(): boolean {
    return this.#unsettled && !this.waiting;
  }

  /** The block that was to be offered again can't be, for some time: gives back what it holds. It is offered anew. */
  giveBack(): void {
    if (this.receiving === null || !this.held) return;
    this.#device.cancel?.(this.receiving);
    this.#unsettled = false;
  }

  /** The connection has ended: gives back what a waiting block holds. */
  abandon(): void {
    if (this.receiving !== null && this.#unsettled) this.#device.cancel?.(this.receiving);
    this.receiving = null;
    this.waiting = false;
    this.#unsettled = false;
  }
}
