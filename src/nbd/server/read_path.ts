/**
 * READ: slices of READ_SLICE bytes, fetched and delivered one after another.
 *
 * A slice that needs no waiting is copied by the device straight into the outbox. Any other goes through a read buffer,
 * because the outbox cannot be kept open for a slow device while later requests are answered.
 *
 * Invariants:
 * - of a request at most one slice is fetched at a time, and it is delivered before the next one begins;
 * - a request that has waited keeps its read buffer to its end, so it never waits for a second one;
 * - structured chunks of one request don't overlap, and the last one carries DONE.
 */

import * as wire from '../wire.ts';
import type { Device, DeviceExtent } from './device.ts';
import { extentAt } from './extents.ts';
import { giveReadBuffer, hasReadBuffer, READ_SLICE, takeReadBuffer } from './read_buffers.ts';
import type { Replies } from './replies.ts';
import { PHASE_READ, type Request } from './request.ts';
import { BLOCK_UNITS, type TurnBudget } from './turn_budget.ts';

/** What became of a request. */
export const READ_DONE = 0;
/** It is with the device, in the list of those that wait for room or for the next turn, or in that of the hungry ones. */
const READ_WAITS = 1;

const DATA_HEAD = wire.NBD_STRUCTURED_REPLY_BYTES + 8;
const HOLE_BYTES = DATA_HEAD + 4;

export class ReadPath {
  readonly #device: Device;
  readonly #blockSize: number;
  readonly #replies: Replies;
  readonly #budget: TurnBudget;
  readonly #scratch: Uint8Array;
  readonly #extent: DeviceExtent = { end: 0, status: 0 };
  readonly #tellsHoles: boolean;
  readonly #hasNow: boolean;
  #held = 0;
  /**
   * Requests that wait for a read buffer, in order. They are no reason to stop what comes behind them: a WRITE that the device
   * takes at once must not wait for the reads of another client. The bound of requests in flight bounds them.
   */
  #hungry: Request | null = null;
  #hungriest: Request | null = null;

  constructor(device: Device, replies: Replies, budget: TurnBudget) {
    this.#device = device;
    this.#blockSize = device.blockSize;
    this.#replies = replies;
    this.#budget = budget;
    this.#scratch = new Uint8Array(device.blockSize);
    this.#tellsHoles = device.extent !== undefined;
    this.#hasNow = device.readNow !== undefined;
  }

  /**
   * Does what can be done now, for a request that may enter the outbox. One that is done has its whole reply there; one
   * that waits is with the device or in the list of `replies`.
   */
  advance(request: Request): number {
    request.phase = PHASE_READ;
    const end = request.offset + request.length;
    const replies = this.#replies;
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
    if (request.buffer === null) return;
    giveReadBuffer(this.#device, this.#held, request.buffer);
    request.buffer = null;
    this.#held--;
  }

  /** Whether requests wait for a read buffer. A connection that has such holds a buffer, whose return is an event for it. */
  get hungry(): boolean {
    return this.#hungry !== null;
  }

  /** The next request that waits for a buffer, if there is one for it, or `anyway`. */
  fed(anyway = false): Request | null {
    const request = this.#hungry;
    if (request === null || (!anyway && !hasReadBuffer(this.#device, this.#held))) return null;
    this.#hungry = request.next;
    if (this.#hungry === null) this.#hungriest = null;
    request.next = null;
    return request;
  }

  #starve(request: Request): number {
    request.next = null;
    if (this.#hungriest === null) this.#hungry = request;
    else this.#hungriest.next = request;
    this.#hungriest = request;
    return READ_WAITS;
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
    if (this.#hasNow && this.#now(request.position, length, outbox.bytes, outbox.at + head)) {
      this.#head(request, length, end);
      outbox.at += length;
      request.position += length;
      return READ_DONE;
    }
    if (request.buffer === null) {
      request.buffer = takeReadBuffer(this.#device, this.#held, replies.exclusive === request);
      if (request.buffer === null) return this.#starve(request);
      this.#held++;
    }
    request.slice = length;
    request.outstanding = 1;
    const size = this.#blockSize;
    const first = Math.floor(request.position / size);
    const count = Math.ceil((request.position + length) / size) - first;
    if (this.#device.read !== undefined) this.#device.read(request, first, count, request.buffer.bytes, 0);
    else setImmediate(() => request.settle(wire.NBD_EIO));
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
    outbox.bytes.set(request.buffer!.bytes.subarray(from, from + length), outbox.at);
    outbox.at += length;
    request.position += length;
    request.loaded = false;
    return true;
  }

  /** Copies [position, position + length) to dst[at..] if the device has all of it at hand. */
  #now(position: number, length: number, dst: Uint8Array, at: number): boolean {
    const size = this.#blockSize;
    this.#budget.spend((length / size) * BLOCK_UNITS);
    let block = Math.floor(position / size);
    let left = length;
    let to = at;
    const within = position - block * size;
    if (within > 0 || left < size) {
      const n = Math.min(size - within, left);
      if (!this.#edge(block, within, n, dst, to)) return false;
      block++;
      left -= n;
      to += n;
    }
    const whole = Math.floor(left / size);
    if (whole > 0) {
      if (this.#device.readNow!(block, whole, dst, to) < whole) return false;
      left -= whole * size;
      to += whole * size;
    }
    return left === 0 || this.#edge(block + whole, 0, left, dst, to);
  }

  #edge(block: number, within: number, length: number, dst: Uint8Array, at: number): boolean {
    if (this.#device.readNow!(block, 1, this.#scratch, 0) < 1) return false;
    dst.set(this.#scratch.subarray(within, within + length), at);
    return true;
  }
}
