/**
 * A device in memory whose every way to answer can be chosen: at once, after WAIT, as TAKEN, with asynchronous reads, or
 * with errors. It drops units of ended connections as a real one has to.
 */
import * as wire from 'node-nbd-server';
import { type Device, type DeviceExtent, type DeviceRequest, type ExportInfo, OK, TAKEN, WAIT } from 'node-nbd-server';

export const BLOCK = 4096;

export const ALL_FLAGS =
  wire.NBD_FLAG_HAS_FLAGS |
  wire.NBD_FLAG_SEND_FLUSH |
  wire.NBD_FLAG_SEND_FUA |
  wire.NBD_FLAG_SEND_TRIM |
  wire.NBD_FLAG_SEND_WRITE_ZEROES |
  wire.NBD_FLAG_SEND_CACHE |
  wire.NBD_FLAG_CAN_MULTI_CONN;

export function ramInfo(o: Partial<ExportInfo> = {}): ExportInfo {
  return {
    name: 'ram',
    description: '',
    size: 16 * 1024 * 1024,
    flags: ALL_FLAGS,
    minBlock: 1,
    preferredBlock: 4096,
    maxBlock: wire.NBD_MAX_PAYLOAD,
    ...o,
  };
}

export class RamDevice implements Device {
  readonly info: ExportInfo;
  readonly blockSize = BLOCK;
  readonly bytes: Buffer;
  readonly written: Uint8Array;
  /** How writes answer. With 'wait' and 'taken' they stay so until `release`. */
  writes: 'now' | 'wait' | 'taken' = 'now';
  /** How reads, trims, zeroes, flushes and persists answer; 'held' ones wait for `release`. */
  others: 'now' | 'soon' | 'held' = 'now';
  /** Answers an error instead of doing what is asked, per block (WRITE) or first block (READ). */
  failing: (op: 'write' | 'read', block: number) => number = () => 0;
  persisted: [number, number][] = [];
  cancelled = 0;
  dropped = 0;
  waits = 0;
  taken = 0;
  reads = 0;
  flushes = 0;
  #held: (() => void)[] = [];
  #waiters = new Set<DeviceRequest>();
  /** Called whenever something began to wait. */
  onHeld: () => void = () => undefined;

  constructor(o: Partial<ExportInfo> = {}) {
    this.info = ramInfo(o);
    this.bytes = Buffer.alloc(this.info.size);
    this.written = new Uint8Array(this.info.size / BLOCK);
  }

  get held(): number {
    return this.#held.length;
  }

  get waiters(): number {
    return this.#waiters.size;
  }

  /** Lets go of everything that waits. Modes are set back first unless `keep`. */
  release(keep = false): void {
    if (!keep) {
      this.writes = 'now';
      this.others = 'now';
    }
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
    // A request waits until its call is repeated, or cancelled.
    for (const request of this.#waiters) request.resume();
  }

  /** Wakes those that wait for no reason. */
  wakeSpuriously(): void {
    for (const request of this.#waiters) {
      request.resume();
      request.resume();
    }
  }

  write(request: DeviceRequest, block: number, src: Uint8Array, at: number): number {
    return this.writePart(request, block, 0, BLOCK, src, at);
  }

  writePart(
    request: DeviceRequest,
    block: number,
    within: number,
    length: number,
    src: Uint8Array,
    at: number,
  ): number {
    this.#waiters.delete(request);
    const error = this.failing('write', block);
    if (error !== 0) return error;
    if (this.writes === 'wait') {
      this.waits++;
      this.#waiters.add(request);
      this.onHeld();
      return WAIT;
    }
    if (this.writes === 'now') {
      this.#put(block, within, src.subarray(at, at + length));
      return OK;
    }
    const copy = Buffer.from(src.subarray(at, at + length));
    this.taken++;
    this.#hold(() => {
      if (request.fenced()) this.dropped++;
      else this.#put(block, within, copy);
      request.settle(0);
    });
    return TAKEN;
  }

  readNow(block: number, count: number, dst: Uint8Array, at: number): number {
    if (this.others !== 'now' || this.failing('read', block) !== 0) return 0;
    dst.set(this.bytes.subarray(block * BLOCK, (block + count) * BLOCK), at);
    return count;
  }

  read(request: DeviceRequest, block: number, count: number, dst: Uint8Array, at: number): void {
    this.reads++;
    this.#later(() => {
      const error = this.failing('read', block);
      if (error === 0) dst.set(this.bytes.subarray(block * BLOCK, (block + count) * BLOCK), at);
      request.settle(error);
    });
  }

  trim(request: DeviceRequest, offset: number, length: number): void {
    const first = Math.ceil(offset / BLOCK);
    const last = Math.floor((offset + length) / BLOCK);
    this.#later(() => {
      if (request.fenced()) {
        this.dropped++;
      } else if (last > first) {
        this.bytes.fill(0, first * BLOCK, last * BLOCK);
        this.written.fill(0, first, last);
      }
      request.settle(0);
    });
  }

  zero(request: DeviceRequest, offset: number, length: number, noHole: boolean): void {
    this.#later(() => {
      if (!request.fenced()) {
        this.bytes.fill(0, offset, offset + length);
        const first = Math.ceil(offset / BLOCK);
        const last = Math.floor((offset + length) / BLOCK);
        if (last > first) this.written.fill(noHole ? 1 : 0, first, last);
      }
      request.settle(0);
    });
  }

  flush(request: DeviceRequest): void {
    this.flushes++;
    this.#later(() => request.settle(0));
  }

  persist(request: DeviceRequest, offset: number, length: number): void {
    this.#later(() => {
      this.persisted.push([offset, length]);
      request.settle(0);
    });
  }

  extent(block: number, end: number, into: DeviceExtent): DeviceExtent {
    const state = this.written[block];
    let at = block + 1;
    while (at < end && this.written[at] === state) at++;
    into.end = at;
    into.status = state === 1 ? 0 : wire.NBD_STATE_HOLE | wire.NBD_STATE_ZERO;
    return into;
  }

  cancel(request: DeviceRequest): void {
    if (!this.#waiters.delete(request)) throw new Error('cancel of a request that does not wait');
    this.cancelled++;
  }

  #put(block: number, within: number, data: Uint8Array): void {
    this.bytes.set(data, block * BLOCK + within);
    this.written[block] = 1;
  }

  #later(go: () => void): void {
    if (this.others === 'held') this.#hold(go);
    else setImmediate(go);
  }

  #hold(go: () => void): void {
    this.#held.push(go);
    this.onHeld();
  }
}
