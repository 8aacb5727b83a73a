/**
 * Replies on their way to the socket: gathered in chunks, one socket write per turn or per full chunk.
 *
 * Invariants:
 * - a connection holds at most MAX_CHUNKS chunks, whatever its client does not read; `reserve` fails beyond that;
 * - a chunk is reused only when the socket has finished writing it.
 */
import type { ConnectionCounters } from './counters.ts';
import { CutWriter } from './cut_writer.ts';
import { pageMemory } from './page_memory.ts';
import type { ConnectionTransport } from './transport.ts';

/** For the payload of a READ of 256 KiB, a common size, in one piece with its header. */
export const CHUNK_BYTES = 260 * 1024;
const MAX_CHUNKS = 8;
/** Free chunks that a thread keeps for all its connections; an idle connection holds none. */
const MAX_SPARE = 16;

interface Chunk {
  readonly bytes: Buffer<SharedArrayBuffer>;
  readonly view: DataView;
}

const spare: Chunk[] = [];

function takeChunk(): Chunk {
  const chunk = spare.pop();
  if (chunk !== undefined) return chunk;
  const bytes = Buffer.from(pageMemory(CHUNK_BYTES));
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

function giveChunk(chunk: Chunk): void {
  if (spare.length < MAX_SPARE) spare.push(chunk);
}

export class Outbox {
  /** The chunk that is being filled; valid after `reserve` returned true. */
  bytes!: Buffer;
  view!: DataView;
  /** Where the next reply goes; the caller moves it past what it wrote. */
  at = 0;
  /** Set when `reserve` failed, cleared when a chunk came back. */
  full = false;
  /** Set when replies go nowhere. */
  dead = false;
  /** Bytes written so far. */
  total = 0;

  readonly #socket: ConnectionTransport;
  readonly #counters: ConnectionCounters;
  readonly #onRoom: () => void;
  readonly #onWritten = (): void => this.#written();
  #chunk: Chunk | null = null;
  #held = 0;
  /** One entry per write that the socket has not confirmed, in order; null where the chunk is already back. */
  readonly #writing: (Chunk | null)[] = [];

  /** For tests: what is sent goes through it, from a cut on until the rest of that has gone. */
  #cutter: CutWriter | null = null;

  /** `onRoom` is called when a chunk came back after `reserve` had failed. */
  constructor(socket: ConnectionTransport, counters: ConnectionCounters, onRoom: () => void) {
    this.#socket = socket;
    this.#counters = counters;
    this.#onRoom = onRoom;
  }

  /** Makes room for `n` bytes in one piece, at most CHUNK_BYTES. */
  reserve(n: number): boolean {
    if (this.#chunk !== null) {
      if (this.at + n <= CHUNK_BYTES) return true;
      this.flush();
    }
    if (this.#held >= MAX_CHUNKS && !this.dead) {
      this.full = true;
      return false;
    }
    const chunk = takeChunk();
    this.#held++;
    this.#chunk = chunk;
    this.bytes = chunk.bytes;
    this.view = chunk.view;
    return true;
  }

  /** Hands what was gathered to the socket. */
  flush(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    const n = this.at;
    this.#chunk = null;
    this.at = 0;
    if (n === 0 || this.dead) {
      this.#back(chunk);
      return;
    }
    this.total += n;
    this.#counters.bytesOut += n;
    const index = this.#writing.push(chunk) - 1;
    if (this.#cutter !== null) {
      this.#cutter.write(chunk.bytes.subarray(0, n), this.#onWritten);
      return;
    }
    this.#socket.write(chunk.bytes.subarray(0, n), this.#onWritten);
    if (this.#socket.writableLength === 0) {
      // The kernel took it at once, which is the common case; the confirmation comes later and finds nothing to do.
      this.#writing[index] = null;
      this.#back(chunk);
    }
  }

  /** A hook of tests: what is sent next stops at byte `at`, or in its middle, for `ms`; what comes later waits behind it. */
  cutNext(at: number | null, ms: number): void {
    this.flush();
    this.#cutter ??= new CutWriter(this.#socket, () => {
      this.#cutter = null;
    });
    this.#cutter.cutNext(at, ms);
  }

  /** From now on replies go nowhere: the peer is gone. Chunks that the socket holds come back with its confirmations. */
  kill(): void {
    this.dead = true;
    this.full = false;
    this.flush();
  }

  #written(): void {
    const chunk = this.#writing.shift();
    if (chunk !== null && chunk !== undefined) this.#back(chunk);
    if (this.full) {
      this.full = false;
      this.#onRoom();
    }
  }

  #back(chunk: Chunk): void {
    this.#held--;
    giveChunk(chunk);
  }
}
