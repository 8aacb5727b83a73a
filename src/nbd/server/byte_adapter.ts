/**
 * A ByteDevice as the engine wants it: blocks of a WRITE are gathered to chunks, and calls may take as long as they like.
 *
 * Invariants:
 * - a chunk has memory of its own and at most CHUNK_BLOCKS blocks, a quarter of what the engine lets a device take of one
 *   connection: so a chunk that is being gathered can always be completed;
 * - each block that was taken is settled exactly once, also those of a chunk that is never completed because its request
 *   has failed or its connection has ended.
 */
import type { ExportInfo } from '../export_info.ts';
import * as wire from '../wire.ts';
import { callsOf } from './byte_calls.ts';
import type { ByteDevice } from './byte_device.ts';
import { bytesRead, checkWritten, returned } from './byte_results.ts';
import { type ConnectionRequest, type Device, TAKEN } from './device.ts';

/** Of a device that says nothing else. */
export const BLOCK_SIZE = 4096;
const CHUNK_BYTES = 256 * 1024;
const CHUNK_BLOCKS = 64;

/** A part of one WRITE. */
interface Chunk {
  readonly offset: number;
  readonly bytes: Buffer;
  filled: number;
  /** Blocks, or parts of them, that the engine waits for. */
  units: number;
  readonly onAbort: () => void;
}

export class ByteAdapter implements Device {
  readonly info: ExportInfo;
  readonly blockSize: number;
  /** Changes wait for one another in byte_order.ts, and hold up nothing else of their connection. */
  readonly keepsOrder = true;
  readonly #device: ByteDevice;
  readonly #calls: ReturnType<typeof callsOf>;
  readonly #onError: (error: unknown) => void;
  readonly #gathering = new Map<ConnectionRequest, Chunk>();

  constructor(device: ByteDevice, onError: (error: unknown) => void) {
    this.#device = device;
    this.#calls = callsOf(device);
    this.#onError = onError;
    this.blockSize = device.blockSize ?? BLOCK_SIZE;
    this.info = infoOf(device, this.blockSize);
  }

  write(request: ConnectionRequest, block: number, src: Uint8Array, at: number): number {
    return this.writePart(request, block, 0, this.blockSize, src, at);
  }

  writePart(
    request: ConnectionRequest,
    block: number,
    within: number,
    length: number,
    src: Uint8Array,
    at: number,
  ): number {
    const offset = block * this.blockSize + within;
    const chunk = this.#gathering.get(request) ?? this.#newChunk(request, offset);
    chunk.bytes.set(src.subarray(at, at + length), chunk.filled);
    chunk.filled += length;
    chunk.units++;
    if (chunk.filled === chunk.bytes.length) {
      this.#take(request);
      this.#store(request, chunk);
    }
    return TAKEN;
  }

  read(request: ConnectionRequest, first: number, count: number, dst: Uint8Array, at: number): void {
    const offset = first * this.blockSize;
    const bytes = Math.min(count * this.blockSize, this.info.size - offset);
    let into: Uint8Array;
    this.#calls.begin({
      request,
      offset: 0,
      end: 0,
      bytes,
      act: () => {
        into = Buffer.alloc(bytes);
        return returned(this.#device.read(offset, into, { signal: request.signal }), (value) => {
          into = bytesRead(value, into, bytes);
        });
      },
      finish: () => {
        // Only now, as it could be sent to another thread up to here.
        if (into.length !== bytes) throw new TypeError('read has given away the buffer that it was to fill');
        // `dst` is the engine's again after this, so nothing comes to it later: a call that was given up has its own memory.
        dst.set(into, at);
      },
      answer: (errno) => request.settle(errno),
      onError: this.#onError,
    });
  }

  trim(request: ConnectionRequest, offset: number, length: number): void {
    const { signal } = request;
    this.#call(request, offset, offset + length, () => this.#device.trim!(offset, length, { signal }));
  }

  zero(request: ConnectionRequest, offset: number, length: number, noHole: boolean, fast: boolean): void {
    const { signal } = request;
    this.#call(request, offset, offset + length, () => this.#device.zero!(offset, length, { signal, noHole, fast }));
  }

  flush(request: ConnectionRequest): void {
    const { signal } = request;
    // It changes nothing and waits for nobody: what was answered before has ended.
    this.#call(request, 0, 0, () => this.#device.flush!({ signal }));
  }

  persist(request: ConnectionRequest): void {
    this.flush(request);
  }

  #newChunk(request: ConnectionRequest, offset: number): Chunk {
    const most = Math.min(CHUNK_BYTES, CHUNK_BLOCKS * this.blockSize);
    const end = Math.min(request.offset + request.length, (Math.floor(offset / most) + 1) * most);
    const chunk: Chunk = {
      offset,
      bytes: Buffer.allocUnsafeSlow(end - offset),
      filled: 0,
      units: 0,
      onAbort: () => this.#drop(request, wire.NBD_ESHUTDOWN),
    };
    this.#gathering.set(request, chunk);
    request.signal.addEventListener('abort', chunk.onAbort);
    return chunk;
  }

  #store(request: ConnectionRequest, { offset, bytes, units }: Chunk): void {
    const { signal } = request;
    const { length } = bytes;
    const act = (): unknown =>
      returned(this.#device.write!(offset, bytes, { signal }), (value) => checkWritten(value, length));
    const answer = (errno: number): void => {
      settle(request, units, errno);
      // The engine offers no further block of a WRITE that has failed.
      if (errno !== 0) this.#drop(request, errno);
    };
    const onError = this.#onError;
    this.#calls.begin({ request, offset, end: offset + length, bytes: length, act, answer, onError });
  }

  /** Gives up the chunk that is being gathered for a request, if there is one. */
  #drop(request: ConnectionRequest, errno: number): void {
    const chunk = this.#take(request);
    if (chunk !== undefined) queueMicrotask(() => settle(request, chunk.units, errno));
  }

  #take(request: ConnectionRequest): Chunk | undefined {
    const chunk = this.#gathering.get(request);
    if (chunk === undefined) return undefined;
    this.#gathering.delete(request);
    request.signal.removeEventListener('abort', chunk.onAbort);
    return chunk;
  }

  /** One without a buffer, that changes [offset, end). */
  #call(request: ConnectionRequest, offset: number, end: number, act: () => unknown): void {
    const answer = (errno: number): void => request.settle(errno);
    this.#calls.begin({ request, offset, end, bytes: 0, act, answer, onError: this.#onError });
  }
}

function settle(request: ConnectionRequest, units: number, errno: number): void {
  for (let i = 0; i < units; i++) request.settle(errno);
}

/** What the device can do is what it has methods for. */
function infoOf(device: ByteDevice, blockSize: number): ExportInfo {
  const writable = device.write !== undefined;
  const flags = [
    wire.NBD_FLAG_HAS_FLAGS,
    // All connections reach the same device, so a flush on one of them is for all.
    wire.NBD_FLAG_CAN_MULTI_CONN,
    writable ? 0 : wire.NBD_FLAG_READ_ONLY,
    device.flush !== undefined ? wire.NBD_FLAG_SEND_FLUSH : 0,
    writable && device.flush !== undefined ? wire.NBD_FLAG_SEND_FUA : 0,
    writable && device.trim !== undefined ? wire.NBD_FLAG_SEND_TRIM : 0,
    writable && device.zero !== undefined ? wire.NBD_FLAG_SEND_WRITE_ZEROES : 0,
    writable && device.zero !== undefined && device.fastZero === true ? wire.NBD_FLAG_SEND_FAST_ZERO : 0,
  ];
  return {
    name: device.name ?? '',
    description: device.description ?? '',
    size: device.size,
    flags: flags.reduce((all, flag) => all | flag),
    minBlock: device.minBlock ?? 1,
    preferredBlock: blockSize,
    maxBlock: wire.NBD_MAX_PAYLOAD,
  };
}
