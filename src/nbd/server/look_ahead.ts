/**
 * How the end of a peer is noticed while its connection takes no bytes, because its device has not done what came before:
 * plain Node tells of an end only when everything before it was read. So after a while the socket is read on, into memory
 * of its own, and what came is handed on later, in order.
 *
 * Invariants:
 * - of one connection at most AHEAD_BYTES are held here, which is more than both kernels have of a client that is gone, as
 *   Linux comes; of all connections of a thread at most ALL_BYTES. Who finds no room is not read on;
 * - who has filled its own part is alive, or was; its end is still noticed by an empty write, which a unix socket refuses
 *   once the peer has closed it. Of TCP that takes a reset, so the end of a client that has sent more than that may not be
 *   noticed (see `Standstill` for what becomes of its place);
 * - an end that is noticed here leaves to `peek` what stood before it, where a DISC may be.
 */
import type { OnReadOpts } from 'node:net';
import type { ConnectionFence } from './device.ts';

const AHEAD_BYTES = 12 * 1024 * 1024;
const ALL_BYTES = 64 * 1024 * 1024;
/** A pause that lasts for less is the back-pressure of a device that keeps up. */
const LOOK_MS = 1000;
const BLOCK_BYTES = 64 * 1024;

/** Where all sockets that are read on put their bytes; they are copied in the same call. */
const landing = new Uint8Array(BLOCK_BYTES);
const NOTHING = new Uint8Array(0);
/** Bytes of all connections of this thread. */
let all = 0;

/** As much of a socket as is needed here. */
export interface AheadSocket {
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  readonly writableLength: number;
  write(bytes: Uint8Array): unknown;
  /** Reads on, or not, whatever its connection has said. */
  reading(on: boolean): void;
}

export class LookAhead implements ConnectionFence {
  #into!: OnReadOpts;
  #socket: AheadSocket | null = null;
  /** The connection takes no bytes at present. */
  #paused = false;
  #ended = false;
  #timer: NodeJS.Timeout | null = null;
  /** Bytes from #start of the first block up to #end of the last one. */
  #blocks: Uint8Array[] = [];
  #start = 0;
  #end = BLOCK_BYTES;

  /** What the socket has to be made with, for a connection that would have made it with `into`. */
  reads(into: OnReadOpts): OnReadOpts {
    this.#into = into;
    return { buffer: () => this.#space(), callback: (n, from) => this.#received(n, from) };
  }

  attach(socket: AheadSocket): void {
    this.#socket = socket;
  }

  peerClosed(): boolean {
    return this.#ended;
  }

  peek(into: Uint8Array): number {
    let n = 0;
    for (let i = 0; i < this.#blocks.length && n < into.length; i++) {
      const part = this.#part(i).subarray(0, into.length - n);
      into.set(part, n);
      n += part.length;
    }
    return n;
  }

  /** The peer has sent its last byte. */
  end(): void {
    this.#ended = true;
    // By then the connection has looked at what is here, and has kept what it wants.
    setImmediate(() => this.close());
  }

  /** The socket is closed, or will bring nothing any more. */
  close(): void {
    this.#stopTimer();
    all -= this.#blocks.length * BLOCK_BYTES;
    this.#blocks = [];
    this.#end = BLOCK_BYTES;
  }

  /** The connection takes bytes again; whether the socket may be read, because nothing is left here. */
  resume(): boolean {
    this.#paused = false;
    this.#stopTimer();
    while (this.#blocks.length > 0 && !this.#paused && !this.#socket!.destroyed) {
      const space = this.#asked();
      const part = this.#part(0).subarray(0, space.length);
      space.set(part);
      this.#start += part.length;
      if (this.#start === (this.#blocks.length === 1 ? this.#end : BLOCK_BYTES)) this.#dropFirst();
      if (!this.#into.callback(part.length, space)) this.#pause();
    }
    if (this.#paused) this.#socket!.reading(false);
    return !this.#paused;
  }

  #asked(): Uint8Array {
    return (this.#into.buffer as () => Uint8Array)();
  }

  #space(): Uint8Array {
    return this.#paused ? landing : this.#asked();
  }

  #received(n: number, from: Uint8Array): boolean {
    if (this.#paused) return this.#keep(from.subarray(0, n));
    if (from === landing) {
      // The first bytes after a pause come where the socket was told to put them during it.
      this.#store(from.subarray(0, n));
      return this.resume();
    }
    if (this.#into.callback(n, from)) return true;
    this.#pause();
    return false;
  }

  #pause(): void {
    this.#paused = true;
    if (this.#timer === null) this.#timer = setTimeout(() => this.#look(), LOOK_MS);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #look(): void {
    this.#timer = null;
    const socket = this.#socket!;
    if (socket.destroyed || this.#ended || !this.#paused) return;
    this.#timer = setTimeout(() => this.#look(), LOOK_MS);
    if (this.#roomy) socket.reading(true);
    else if (this.#full && !socket.writableEnded && socket.writableLength === 0) socket.write(NOTHING);
  }

  get #full(): boolean {
    return this.#blocks.length * BLOCK_BYTES >= AHEAD_BYTES;
  }

  /** Whether there is room for one more read, which may need a second block. */
  get #roomy(): boolean {
    return !this.#full && all + BLOCK_BYTES <= ALL_BYTES;
  }

  /** Whether the socket may be read on. */
  #keep(bytes: Uint8Array): boolean {
    this.#store(bytes);
    return this.#roomy;
  }

  #store(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#end === BLOCK_BYTES) {
        this.#blocks.push(new Uint8Array(BLOCK_BYTES));
        if (this.#blocks.length === 1) this.#start = 0;
        this.#end = 0;
        all += BLOCK_BYTES;
      }
      const n = Math.min(BLOCK_BYTES - this.#end, bytes.length - at);
      this.#blocks[this.#blocks.length - 1].set(bytes.subarray(at, at + n), this.#end);
      this.#end += n;
      at += n;
    }
  }

  #part(i: number): Uint8Array {
    const last = i === this.#blocks.length - 1;
    return this.#blocks[i].subarray(i === 0 ? this.#start : 0, last ? this.#end : BLOCK_BYTES);
  }

  #dropFirst(): void {
    this.#blocks.shift();
    this.#start = 0;
    if (this.#blocks.length === 0) this.#end = BLOCK_BYTES;
    all -= BLOCK_BYTES;
  }
}
