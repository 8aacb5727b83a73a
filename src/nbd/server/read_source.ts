/**
 * Where the bytes of a READ come from: at once, if the device has them at hand, or in its own time.
 *
 * Invariant: what is asked of `readNow` is charged whether or not it is there, because a device may do the same work in `read`.
 */
import * as wire from '../wire.ts';
import type { Device } from './device.ts';
import type { ReadBuffer } from './read_buffers.ts';
import type { Request } from './request.ts';
import { BLOCK_UNITS, type TurnBudget } from './turn_budget.ts';

/** What became of a request. */
export const READ_DONE = 0;
/** It is with the device, in the list of those that wait for room or for the next turn, or in that of the hungry ones. */
export const READ_WAITS = 1;

export class ReadSource {
  readonly blockSize: number;
  readonly #device: Device;
  readonly #budget: TurnBudget;
  readonly #scratch: Uint8Array;
  readonly #hasNow: boolean;

  constructor(device: Device, budget: TurnBudget) {
    this.blockSize = device.blockSize;
    this.#device = device;
    this.#budget = budget;
    this.#scratch = new Uint8Array(device.blockSize);
    this.#hasNow = device.readNow !== undefined;
  }

  /** Has the device fill `buffer` with the blocks that [position, position + length) touches; the caller counts the call. */
  fetch(request: Request, position: number, length: number, buffer: ReadBuffer): void {
    const size = this.blockSize;
    const first = Math.floor(position / size);
    const count = Math.ceil((position + length) / size) - first;
    if (this.#device.read !== undefined) this.#device.read(request, first, count, buffer.bytes, 0);
    else setImmediate(() => request.settle(wire.NBD_EIO));
  }

  /** Copies [position, position + length) to dst[at..] if the device has all of it at hand. */
  now(position: number, length: number, dst: Uint8Array, at: number): boolean {
    if (!this.#hasNow) return false;
    const size = this.blockSize;
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
