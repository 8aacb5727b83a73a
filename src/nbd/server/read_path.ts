/**
 * READ: slices of READ_SLICE bytes, fetched and delivered one after another.
 *
 * A slice that needs no waiting is copied by the device straight into the outbox. Any other goes through a read buffer,
 * because the outbox cannot be kept open for a slow device while later requests are answered.
 *
 * Where replies are simple and a request has several slices, they are gathered before the first is delivered (see
 * `gathered_reads.ts`), unless they are too many. Then its reply begins with its first slice, and an error that comes later
 * is told by the connection's end.
 *
 * Invariants, of what is not gathered:
 * - of a request at most one slice is fetched at a time, and it is delivered before the next one begins;
 * - a request that has waited keeps its read buffer to its end, so it never waits for a second one;
 * - structured chunks of one request don't overlap, and the last one carries DONE.
 */

import * as wire from '../wire.ts';
import type { ConnectionCounters } from './counters.ts';
import type { Device, DeviceExtent } from './device.ts';
import { extentAt } from './extents.ts';
import { Gathering } from './gathered_reads.ts';
import { HeldBuffers } from './held_buffers.ts';
import { READ_SLICE } from './read_buffers.ts';
import { READ_DONE, READ_WAITS, ReadSource } from './read_source.ts';
import type { Replies } from './replies.ts';
import { PHASE_READ, type Request } from './request.ts';
import type { TurnBudget } from './turn_budget.ts';

const DATA_HEAD = wire.NBD_STRUCTURED_REPLY_BYTES + 8;
const HOLE_BYTES = DATA_HEAD + 4;

export class ReadPath {
  readonly #device: Device;
  readonly #blockSize: number;
  readonly #replies: Replies;
  readonly #budget: TurnBudget;
  readonly #counters: ConnectionCounters;
  readonly #extent: DeviceExtent = { end: 0, status: 0 };
  readonly #tellsHoles: boolean;
  readonly #source: ReadSource;
  readonly #held: HeldBuffers;
  readonly #gathering: Gathering;

  constructor(device: Device, replies: Replies, budget: TurnBudget, counters: ConnectionCounters) {
    this.#device = device;
    this.#blockSize = device.blockSize;
    this.#replies = replies;
    this.#budget = budget;
    this.#counters = counters;
    this.#tellsHoles = device.extent !== undefined;
    this.#source = new ReadSource(device, budget);
    this.#held = new HeldBuffers(device);
    this.#gathering = new Gathering(replies, budget, this.#source, this.#held);
  }

  /**
   * Does what can be done now, for a request that may enter the outbox. One that is done has its whole reply there; one
   * that waits is with the device or in the list of `replies`.
   */
  advance(request: Request): number {
    request.phase = PHASE_READ;
    const replies = this.#replies;
    if (!replies.structured && this.#gathering.concerns(request)) return this.#gathering.advance(request);
    const end = request.offset + request.length;
    for (;;) {
      if (request.loaded) {
        if (!this.#deliver(request)) return this.#wait(request);
      } else if (!this.#hole(request, end)) {
        const sliced = this.#slice(request, end);
        if (sliced !== READ_DONE) return sliced;
      }
      if (request.position === end) {
        if (replies.exclusive === request) replies.exclusive = null;
        this.release(request);
        return READ_DONE;
      }
      if (!replies.structured) replies.exclusive = request;
      if (this.#budget.spent) return this.#wait(request);
    }
  }

  /** Gives back what a request holds; also used when it fails. */
  release(request: Request): void {
    if (request.buffers.length > 0) this.#held.giveBack(request);
  }

  get hungry(): boolean {
    return this.#held.hungry;
  }

  /** The next request that waited for buffers and has them now. */
  fed(): Request | null {
    return this.#held.fed();
  }

  /** The next request that waits for buffers, which gets none. */
  forgo(): Request | null {
    return this.#held.forgo();
  }

  /** Whether the simple reply has begun, so that an error can no longer be told. */
  begun(request: Request): boolean {
    return !this.#replies.structured && request.position > request.offset;
  }

  #wait(request: Request): number {
    this.#replies.defer(request);
    return READ_WAITS;
  }

  /** Length of the slice that starts at the request's position; a slice ends between blocks or with the request. */
  #sliceLength(request: Request, end: number): number {
    const left = end - request.position;
    // A read with DF is one chunk; its length was checked.
    if ((request.flags & wire.NBD_CMD_FLAG_DF) !== 0) return left;
    return Math.min(left, READ_SLICE - (request.position % this.#blockSize));
  }

  /** Answers a run of zeroes by a hole chunk. False if there is data, or no room for the chunk. */
  #hole(request: Request, end: number): boolean {
    const replies = this.#replies;
    // For a single block the chunk would save less than finding out costs.
    if (!replies.structured || request.length <= this.#blockSize) return false;
    request.slice = 0;
    if (!this.#tellsHoles) return false;
    if ((request.flags & wire.NBD_CMD_FLAG_DF) !== 0) return false;
    const size = this.#blockSize;
    const first = Math.floor(request.position / size);
    const run = extentAt(this.#device, first, Math.ceil(end / size), this.#extent);
    this.#budget.scanned(run.end - first, 1);
    const to = Math.min(run.end * size, end);
    if ((run.status & wire.NBD_STATE_ZERO) === 0) {
      request.slice = to - request.position;
      return false;
    }
    if (!replies.outbox.reserve(HOLE_BYTES)) return false;
    const length = to - request.position;
    replies.chunk(request, wire.NBD_REPLY_TYPE_OFFSET_HOLE, to === end, 12);
    replies.offset(request.position);
    replies.outbox.view.setUint32(replies.outbox.at, length);
    replies.outbox.at += 4;
    request.position = to;
    this.#counters.holeBlocks += Math.ceil(to / size) - first;
    return true;
  }

  /** Moves one slice: into the outbox at once (READ_DONE), or by way of the device (READ_WAITS). */
  #slice(request: Request, end: number): number {
    const replies = this.#replies;
    const outbox = replies.outbox;
    let length = this.#sliceLength(request, end);
    // A data run that ends earlier ends the slice, as the hole behind it gets a chunk of its own.
    if (replies.structured && request.length > this.#blockSize && request.slice > 0) {
      length = Math.min(length, request.slice);
    }
    const head = this.#headBytes(request);
    if (!outbox.reserve(head + length)) return this.#wait(request);
    if (this.#source.now(request.position, length, outbox.bytes, outbox.at + head)) {
      this.#head(request, length, end);
      outbox.at += length;
      request.position += length;
      return READ_DONE;
    }
    if (request.buffers.length === 0 && !this.#held.take(request, 1, replies.exclusive === request)) return READ_WAITS;
    request.slice = length;
    request.outstanding = 1;
    this.#source.fetch(request, request.position, length, request.buffers[0]);
    return READ_WAITS;
  }

  #headBytes(request: Request): number {
    if (this.#replies.structured) return DATA_HEAD;
    return request.position === request.offset ? wire.NBD_SIMPLE_REPLY_BYTES : 0;
  }

  #head(request: Request, length: number, end: number): void {
    const replies = this.#replies;
    if (replies.structured) {
      replies.chunk(request, wire.NBD_REPLY_TYPE_OFFSET_DATA, request.position + length === end, 8 + length);
      replies.offset(request.position);
    } else if (request.position === request.offset) {
      replies.simple(request, 0);
    }
  }

  #deliver(request: Request): boolean {
    const outbox = this.#replies.outbox;
    const length = request.slice;
    if (!outbox.reserve(this.#headBytes(request) + length)) return false;
    this.#head(request, length, request.offset + request.length);
    const from = request.position % this.#blockSize;
    outbox.bytes.set(request.buffers[0].bytes.subarray(from, from + length), outbox.at);
    outbox.at += length;
    request.position += length;
    request.loaded = false;
    return true;
  }
}
