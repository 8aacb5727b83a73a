/**
 * Requests of one connection from their end: the pool they come from, and how each gets its reply, now or later.
 *
 * Invariant: a request is released exactly once, when its reply is in the outbox or its connection has ended, and never
 * while the device owes it a `settle`.
 */
import { blockStatus } from './block_status.ts';
import type { ConnectionCounters } from './counters.ts';
import type { Device } from './device.ts';
import { HeldReplies, NO_MISHAPS, type ReplyMishaps } from './mishaps.ts';
import type { Outbox } from './outbox.ts';
import { ReadPath } from './read_path.ts';
import { READ_DONE } from './read_source.ts';
import { Replies } from './replies.ts';
import { PHASE_READ, PHASE_REPLY, PHASE_STATUS, Request, type RequestOwner } from './request.ts';
import type { TransmissionHost } from './transmission_host.ts';
import type { TurnBudget } from './turn_budget.ts';

export class Answers {
  /** Requests begun and not released. */
  inFlight = 0;

  readonly #owner: RequestOwner;
  readonly #device: Device;
  readonly #outbox: Outbox;
  readonly #counters: ConnectionCounters;
  readonly #replies: Replies;
  readonly #reads: ReadPath;
  readonly #budget: TurnBudget;
  readonly #pool: Request[] = [];
  readonly #mishaps: ReplyMishaps;
  readonly #held: HeldReplies;

  constructor(o: {
    owner: RequestOwner;
    device: Device;
    outbox: Outbox;
    structured: boolean;
    counters: ConnectionCounters;
    budget: TurnBudget;
    host: Pick<TransmissionHost, 'kick'>;
    mishaps?: ReplyMishaps;
  }) {
    this.#owner = o.owner;
    this.#device = o.device;
    this.#outbox = o.outbox;
    this.#counters = o.counters;
    this.#replies = new Replies(o.outbox, o.structured);
    this.#budget = o.budget;
    this.#reads = new ReadPath(o.device, this.#replies, o.budget, o.counters);
    this.#mishaps = o.mishaps ?? NO_MISHAPS;
    this.#held = new HeldReplies({
      cutNext: (at, ms) => o.outbox.cutNext(at, ms),
      extra: (request) => this.#replies.mayEnter(request) && this.#replies.final(request),
      goOn: (request, phase) => {
        this.#later(request, phase);
        o.host.kick();
      },
    });
  }

  /** Whether requests wait for room, or for the next turn: then no further one is begun. */
  get waiting(): boolean {
    return this.#replies.first !== null;
  }

  /** Whether a READ could go on in the next turn. */
  get hungry(): boolean {
    return this.#reads.hungry;
  }

  acquire(): Request {
    this.inFlight++;
    return this.#pool.pop() ?? new Request(this.#owner);
  }

  release(request: Request): void {
    this.#reads.release(request);
    this.inFlight--;
    this.#pool.push(request);
  }

  /** Sends the final reply of a request that is done or has failed. */
  reply(request: Request): void {
    if (this.#mishaps.next !== null && this.#held.meets(request, this.#mishaps, PHASE_REPLY)) return;
    if (request.error !== 0) this.#counters.errors++;
    if (!this.#replies.mayEnter(request) || !this.#replies.final(request)) this.#later(request, PHASE_REPLY);
    else this.release(request);
  }

  /** Begins or continues a READ. */
  read(request: Request): void {
    if (this.#mishaps.next !== null && this.#meetsRead(request, PHASE_READ)) return;
    if (!this.#replies.mayEnter(request)) this.#later(request, PHASE_READ);
    else this.#advance(request);
  }

  /** The device has fetched what it was asked for, or failed to. False if the error can't be told any more. */
  fetched(request: Request): boolean {
    if (request.error === 0) {
      request.loaded = true;
      this.read(request);
      return true;
    }
    if (this.#reads.begun(request)) return false;
    this.#reads.release(request);
    this.reply(request);
    return true;
  }

  status(request: Request): void {
    if (this.#mishaps.next !== null && this.#meetsRead(request, PHASE_STATUS)) return;
    if (!this.#replies.mayEnter(request) || !blockStatus(this.#device, this.#replies, request, this.#budget)) {
      this.#later(request, PHASE_STATUS);
    } else {
      this.release(request);
    }
  }

  /** One with a payload: an error takes the place of that. */
  #meetsRead(request: Request, phase: number): boolean {
    const failed = request.error !== 0;
    if (this.#held.meets(request, this.#mishaps, phase)) return true;
    if (failed || request.error === 0) return false;
    this.reply(request);
    return true;
  }

  /** Continues requests that wait. */
  drain(): void {
    // What is released in a pass may be room or a buffer for another, and no event would tell that one.
    for (let before = -1; (this.waiting || this.hungry) && before !== this.inFlight && this.#mayGoOn; ) {
      before = this.inFlight;
      if (this.waiting) this.#pass();
      this.#feed();
    }
  }

  /** READs that waited for a buffer, as far as there are buffers. */
  #feed(): void {
    while (this.#mayGoOn) {
      const request = this.#reads.fed();
      if (request === null) return;
      this.read(request);
    }
  }

  get #mayGoOn(): boolean {
    return !this.#outbox.full && !this.#budget.spent;
  }

  #pass(): void {
    const replies = this.#replies;
    const last = replies.last;
    for (let request = replies.shift(); request !== null; request = replies.shift()) {
      if (request.phase === PHASE_READ) {
        this.#advance(request);
      } else {
        const status = request.phase === PHASE_STATUS;
        const done = status ? blockStatus(this.#device, replies, request, this.#budget) : replies.final(request);
        if (done) this.release(request);
        else replies.defer(request);
      }
      if (request === last || !this.#mayGoOn || replies.first === request) return;
    }
  }

  /** The connection has ended: releases what waits for room. What is with the device is released when it settles. */
  abandon(): void {
    for (const request of this.#held.take()) this.release(request);
    for (let request = this.#replies.take(); request !== null; request = this.#replies.take()) this.release(request);
    for (let request = this.#reads.forgo(); request !== null; request = this.#reads.forgo()) this.release(request);
  }

  #advance(request: Request): void {
    if (this.#reads.advance(request) === READ_DONE) this.release(request);
  }

  #later(request: Request, phase: number): void {
    request.phase = phase;
    this.#replies.defer(request);
  }
}
