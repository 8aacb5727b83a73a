/**
 * READs of several slices where replies are simple: gathered, one buffer for each slice, and then delivered.
 *
 * A simple reply tells an error in front of its payload or not at all, and nothing else can be sent within it. So nothing of
 * it is sent before all of it is there: then an error is an answer, also one of the last slice, and what else the connection
 * has to say need not wait for the device. Linux has no other replies.
 *
 * What fits into a chunk of the outbox and is at hand goes there at once, as a single slice does.
 *
 * Invariants:
 * - a reply begins in the outbox when all of it is there, or in buffers; from then on nothing can fail;
 * - slices are asked from the device as many at once as a turn's budget allows, the next ones when all of these are there;
 * - a request that the device owes a slice is in no list.
 */
import * as wire from '../wire.ts';
import type { HeldBuffers } from './held_buffers.ts';
import { CHUNK_BYTES } from './outbox.ts';
import { MAX_GATHERED, READ_SLICE } from './read_buffers.ts';
import { READ_DONE, READ_WAITS, type ReadSource } from './read_source.ts';
import type { Replies } from './replies.ts';
import type { Request } from './request.ts';
import type { TurnBudget } from './turn_budget.ts';

const HEAD = wire.NBD_SIMPLE_REPLY_BYTES;

export class Gathering {
  readonly #replies: Replies;
  readonly #budget: TurnBudget;
  readonly #source: ReadSource;
  readonly #held: HeldBuffers;

  constructor(replies: Replies, budget: TurnBudget, source: ReadSource, held: HeldBuffers) {
    this.#replies = replies;
    this.#budget = budget;
    this.#source = source;
    this.#held = held;
  }

  /** Whether a READ has more than one slice, and not too many. */
  concerns(request: Request): boolean {
    const { length } = request;
    const size = this.#source.blockSize;
    return length > READ_SLICE - size && length <= MAX_GATHERED && (request.offset % size) + length > READ_SLICE;
  }

  /** Does what can be done now. */
  advance(request: Request): number {
    const end = request.offset + request.length;
    const slices = Math.ceil((end - this.#base(request)) / READ_SLICE);
    if (request.buffers.length === 0) {
      if (HEAD + request.length <= CHUNK_BYTES) {
        if (!this.#replies.outbox.reserve(HEAD + request.length)) return this.#wait(request);
        if (this.#whole(request)) return READ_DONE;
      }
      if (!this.#held.take(request, slices, false)) return READ_WAITS;
    }
    while (request.gathered < slices && !this.#budget.spent) this.#gather(request, end);
    if (request.outstanding > 0) return READ_WAITS;
    if (request.gathered < slices) return this.#wait(request);
    return this.#deliver(request, end);
  }

  /** Puts all of a reply into the outbox, for which there is room in one piece, or nothing of it. */
  #whole(request: Request): boolean {
    const { outbox } = this.#replies;
    const { offset, length } = request;
    if (!this.#source.now(offset, length, outbox.bytes, outbox.at + HEAD)) return false;
    this.#replies.simple(request, 0);
    outbox.at += length;
    return true;
  }

  #wait(request: Request): number {
    this.#replies.defer(request);
    return READ_WAITS;
  }

  /** Slices are counted from the begin of the block in which the request begins. */
  #base(request: Request): number {
    return request.offset - (request.offset % this.#source.blockSize);
  }

  #gather(request: Request, end: number): void {
    const start = this.#base(request) + request.gathered * READ_SLICE;
    const buffer = request.buffers[request.gathered];
    request.gathered++;
    const length = Math.min(start + READ_SLICE, end) - start;
    if (this.#source.now(start, length, buffer.bytes, 0)) return;
    request.outstanding++;
    this.#source.fetch(request, start, length, buffer);
  }

  #deliver(request: Request, end: number): number {
    const replies = this.#replies;
    const outbox = replies.outbox;
    const base = this.#base(request);
    while (request.position < end) {
      const from = request.position - base;
      const slice = Math.floor(from / READ_SLICE);
      const within = from - slice * READ_SLICE;
      const length = Math.min(READ_SLICE - within, end - request.position);
      const begins = request.position === request.offset;
      if (!outbox.reserve(length + (begins ? HEAD : 0))) return this.#wait(request);
      if (begins) replies.simple(request, 0);
      outbox.bytes.set(request.buffers[slice].bytes.subarray(within, within + length), outbox.at);
      outbox.at += length;
      request.position += length;
      this.#budget.copied(length);
      if (request.position === end) break;
      replies.exclusive = request;
      if (this.#budget.spent) return this.#wait(request);
    }
    if (replies.exclusive === request) replies.exclusive = null;
    return READ_DONE;
  }
}
