/**
 * The transmission phase of one connection: requests out of the inbox, device calls, replies into the outbox.
 *
 * Invariants:
 * - a request is checked completely before it has any effect; the payload of a refused WRITE is swallowed;
 * - a WRITE's payload is consumed block by block as it arrives, never gathered;
 * - one unit at a time may wait (WAIT). Everything behind it waits too: units of one connection are applied in the order
 *   in which they came, and what has not been parsed costs no memory beyond the inbox;
 * - what touches the bytes of a TRIM or WRITE_ZEROES that is not settled waits as well, with all behind it (range_order.ts);
 * - at most MAX_IN_FLIGHT requests are begun and unanswered; then, or while a reply waits for room, parsing stops;
 * - in one turn of the event loop no more is done than its budget allows, so that other connections have theirs;
 * - steady state allocates nothing per request: requests are pooled, and whatever can't be done at once is a field.
 *
 * When the peer has ended (see `fence.ts`), `ended` is set and what was not yet applied is dropped, or `promised` is set
 * and everything up to DISC is done although nobody reads the replies. What is known to have no reader is not asked of the
 * device any more then, and when all that changes data is done, READs that the device still has are given up.
 */

import { setMaxListeners } from 'node:events';
import * as wire from '../wire.ts';
import { Commands } from './commands.ts';
import type { ConnectionCounters } from './counters.ts';
import type { Device } from './device.ts';
import { PeerFence } from './fence.ts';
import type { Inbox } from './inbox.ts';
import type { Outbox } from './outbox.ts';
import type { Request, RequestOwner } from './request.ts';
import * as phase from './request.ts';
import { Answers } from './request_pool.ts';
import type { TransmissionHost, TransmissionOptions } from './transmission_host.ts';
import { REQUEST_UNITS, type TurnBudget } from './turn_budget.ts';
import { Rules } from './validate.ts';
import { RECEIVED, WritePath } from './write_path.ts';

/** Requests of one connection that are begun and not answered. */
const MAX_IN_FLIGHT = 256;

export class Transmission implements RequestOwner {
  /** Set when the connection ended and its unapplied units are void. */
  ended = false;
  /** Set when DISC was parsed. */
  leaving = false;
  /** Whether the last run came to the end of what has arrived, and only more bytes can lead on. */
  starved = true;
  /** The WRITE that is being received; a unit of it may wait, and everything behind it. */
  readonly writes: WritePath;

  readonly #host: TransmissionHost;
  readonly #device: Device;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #answers: Answers;
  readonly #rules: Rules;
  readonly #fence: PeerFence;
  readonly #counters: ConnectionCounters;
  readonly #commands: Commands;
  readonly #budget: TurnBudget;
  readonly #hangsUp: boolean;
  /** Set when a device was told to drop a unit, before the connection could be taken down. */
  #void = false;
  /** Made when a device first asks for its signal. */
  #end: AbortController | null = null;
  #over = false;
  #settled = 0;

  constructor(o: TransmissionOptions) {
    this.#host = o.host;
    this.#device = o.device;
    this.#inbox = o.inbox;
    this.#outbox = o.outbox;
    this.#budget = o.budget;
    this.#hangsUp = o.hangsUp;
    const { structured } = o.negotiated;
    this.#answers = new Answers({ ...o, owner: this, structured });
    this.#rules = new Rules(o.negotiated);
    this.#counters = o.counters;
    this.#commands = new Commands(o.device, this.#answers, o.counters, o.budget);
    this.#fence = new PeerFence(o.fence, o.inbox, () => o.host.stopReading());
    this.writes = new WritePath({ ...o, fence: this.#fence, overtaken: () => this.#overtaken() });
  }

  /** Whether no request is unfinished. */
  get idle(): boolean {
    return this.#answers.inFlight === 0;
  }

  /** Is another one when its device, or its client, has done anything. */
  get progress(): string {
    return `${this.#settled} ${this.#outbox.total} ${this.#missing}`;
  }

  /** Whether what this connection holds may be old, so that the fence is asked before each unit. */
  get behind(): boolean {
    return this.#fence.behind;
  }

  set behind(behind: boolean) {
    this.#fence.behind = behind;
  }

  /** Does all that can be done: replies that waited for room, then requests. */
  run(): void {
    if (this.#void) this.drop();
    if (this.ended) return;
    // First what others may wait for: before the replies to many READs it could be seconds.
    if (this.writes.held) this.#receive();
    if (this.ended) return;
    this.#answers.drain();
    if (!this.writes.waiting) this.#parse();
    if (this.ended) return;
    if (this.#budget.spent && (this.#answers.waiting || this.#answers.hungry || !this.starved)) {
      this.#host.kick();
    }
    if (this.idle && (this.leaving || this.#host.stopping)) this.#host.finish();
    else if (this.leaving && this.#outbox.dead && !this.writes.busy && !this.#commands.busy) this.drop();
    else this.#outbox.flush();
  }

  /** A socket that has ended or failed brings no more. Finishes what was promised, drops everything else. */
  peerEnded(): void {
    if (this.ended) return;
    if (this.#fence.promise(this.#missing)) this.#host.kick();
    else this.drop();
  }

  /** Ends the connection: what was not yet applied is dropped, and what is with the device runs out in silence. */
  drop(): void {
    if (this.ended) return;
    const receiving = this.writes.receiving;
    this.ended = true;
    this.#counters.fencedUnits += this.#fence.units(this.#missing, this.#device.blockSize);
    this.#outbox.kill();
    this.writes.abandon();
    if (receiving !== null && receiving.outstanding === 0) this.#answers.release(receiving);
    this.#answers.abandon();
    this.#host.cut();
    this.over();
  }

  /** The connection is at its end: a device that asked is told. */
  over(): void {
    this.#over = true;
    this.#end?.abort();
  }

  get signal(): AbortSignal {
    if (this.#end === null) {
      this.#end = new AbortController();
      // Every call in flight may listen, which is no leak.
      setMaxListeners(0, this.#end.signal);
      if (this.#over) this.#end.abort();
    }
    return this.#end.signal;
  }

  fenced(): boolean {
    if (this.ended || this.#void) return true;
    // Asked for each block, however young: its client may have gone a moment ago, and sent it again over a connection whose
    // lane was quicker than ours, which other connections keep busy for tens of milliseconds.
    if (!this.#fence.gone(this.#missing)) return false;
    // The device is in the middle of something, so the rest of the connection is taken down after that.
    this.#void = true;
    this.#fence.behind = true;
    this.#counters.fencedUnits++;
    this.#host.kick();
    return true;
  }

  settled(request: Request, error: number): void {
    request.outstanding--;
    this.#settled++;
    if (request.phase === phase.PHASE_WRITE) this.writes.returned();
    else if (request.phase !== phase.PHASE_READ) this.#commands.returned(request);
    if (this.ended) {
      if (request.outstanding === 0) this.#answers.release(request);
      if (this.idle) this.#host.drained();
      return;
    }
    if (error !== 0) request.fail(error, '');
    this.#host.kick();
    if (request.outstanding > 0 || request === this.writes.receiving) return;
    if (request.phase !== phase.PHASE_READ) {
      if (request.phase === phase.PHASE_PERSIST) this.#answers.reply(request);
      else this.#commands.applied(request);
    } else if (!this.#answers.fetched(request)) {
      // The header promised data that will not come, and a simple reply has no other way to say so.
      this.#answers.release(request);
      this.drop();
    }
  }

  resumed(request: Request): void {
    if (this.ended || request !== this.writes.receiving) return;
    this.writes.wake();
    this.#host.kick();
  }

  get #missing(): number {
    return this.writes.receiving?.missing ?? 0;
  }

  /** Asked by a connection that is behind, before a unit. */
  #overtaken(): boolean {
    if (!this.#void && !this.#fence.gone(this.#missing)) return false;
    this.drop();
    return true;
  }

  #parse(): void {
    const inbox = this.#inbox;
    const writes = this.writes;
    this.starved = false;
    while (!this.ended) {
      // What is left over waits for its turn.
      if (this.#budget.spent) return;
      if (!this.#receive()) {
        this.starved = !writes.waiting && !this.#budget.spent;
        return;
      }
      if (this.leaving || (this.#hangsUp && this.#host.stopping) || inbox.end - inbox.start < wire.NBD_REQUEST_BYTES) {
        this.starved = true;
        return;
      }
      if (this.#answers.inFlight >= MAX_IN_FLIGHT || this.#answers.waiting) break;
      if (!this.#commands.ranges.empty && this.#commands.ranges.holds(inbox.view, inbox.start)) break;
      this.#budget.spend(REQUEST_UNITS);
      this.#begin();
    }
    // Requests were left lying, so by the time they are looked at they may be old.
    this.#fence.behind = true;
  }

  /** Goes on with the WRITE whose payload is arriving; false if it is stuck. */
  #receive(): boolean {
    const { receiving } = this.writes;
    if (receiving === null) return true;
    if (this.writes.consume(receiving) !== RECEIVED) return false;
    if (receiving.outstanding === 0) this.#commands.applied(receiving);
    return true;
  }

  #begin(): void {
    const inbox = this.#inbox;
    if (this.#fence.behind && this.#overtaken()) return;
    const { view, start: at } = inbox;
    if (view.getUint32(at) !== wire.NBD_REQUEST_MAGIC) {
      // The stream is out of step, and nothing in it can be trusted any more.
      this.drop();
      return;
    }
    inbox.start = at + wire.NBD_REQUEST_BYTES;
    const type = view.getUint16(at + 6);
    if (type === wire.NBD_CMD_DISC) {
      this.leaving = true;
      this.#fence.promised = true;
      this.#host.stopReading();
      return;
    }
    if (this.#outbox.dead && type === wire.NBD_CMD_READ) return;
    const flags = view.getUint16(at + 4);
    const offset = view.getUint32(at + 16) * 0x1_0000_0000 + view.getUint32(at + 20);
    const length = view.getUint32(at + 24);
    const request = this.#answers.acquire();
    request.begin(type, flags, view.getUint32(at + 8), view.getUint32(at + 12), offset, length);
    const verdict = this.#rules.check(type, flags, offset, length);
    if (verdict !== null) request.fail(verdict.error, verdict.why);
    else if (this.#host.stopping) request.fail(wire.NBD_ESHUTDOWN, 'server is stopping');
    if (type === wire.NBD_CMD_WRITE) {
      if (request.error === 0) this.#counters.writes++;
      this.writes.begin(request);
    } else if (request.error !== 0 || (length === 0 && type !== wire.NBD_CMD_FLUSH)) {
      this.#answers.reply(request);
    } else {
      this.#commands.dispatch(request);
    }
  }
}
