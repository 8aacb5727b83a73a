/**
 * How the end of a peer is noticed while its connection takes no bytes, because its device has not done what came before:
 * plain Node tells of an end only when everything before it was read. So after a while the socket is read on, into memory
 * of its own, and what came is handed on later, in order.
 *
 * Invariants:
 * - of one connection at most AHEAD_BYTES are held here, which is more than both kernels have of a client that is gone, as
 *   Linux comes; of all connections of a thread ALL_BYTES, and one read of each. Who begins to look has all the memory put by
 *   that it may need, for if all had some of it, nobody would come to an end. The others stand in line;
 * - who has found its socket empty needs little to look on, and STEP_ROOM is kept for that: so those that keep memory here
 *   are noticed when they go, and give it back;
 * - who has begun to look goes on until all was handed on, without a rest, unless its part is full or there is no memory;
 * - who has filled its own part is alive, or was; its end, and that of those who stand in line, is still noticed by an empty
 *   write, which a unix socket refuses once the peer has closed it. Of TCP that takes a reset, so the end of a client that
 *   has sent more than that may not be noticed (see `Standstill` for what becomes of its place);
 * - after a long pause a connection asks `silent` first, and takes what it has for its own only when that says so (`Arrivals`);
 * - an end that is noticed here leaves to `peek` what stood before it, where a DISC may be.
 */
import type { OnReadOpts } from 'node:net';
import type { ConnectionFence } from './device.ts';
import { stalls } from './stalls.ts';

const AHEAD_BYTES = 12 * 1024 * 1024;
const ALL_BYTES = 64 * 1024 * 1024;
const STEP_BYTES = 128 * 1024;
const STEP_ROOM = 1024 * 1024;
/** A pause that lasts for less is the back-pressure of a device that keeps up. Also how often it is looked after memory. */
const LOOK_MS = 1000;
const BLOCK_BYTES = 64 * 1024;

/** Where all sockets that are read on put their bytes; they are copied in the same call. */
const landing = new Uint8Array(BLOCK_BYTES);
/** Bytes that the connections of this thread have put by, and who waits for such. */
let reserved = 0;
const line = new Set<LookAhead>();

/** As much of a socket as is needed here. */
export interface AheadSocket {
  readonly destroyed: boolean;
  /** An empty write. */
  probe(): void;
  /** Reads on, or not, whatever its connection has said. */
  reading(on: boolean): void;
}

export class LookAhead implements ConnectionFence {
  /** What the connection gets at present was put by here: it came earlier, and tells nothing of the socket. */
  handing = false;
  #into!: OnReadOpts;
  #socket: AheadSocket | null = null;
  /** The connection takes no bytes at present. */
  #paused = false;
  #ended = false;
  /** The socket is read on. */
  #looking = false;
  /** Whether the last read found less than it had room for, and when it was, or when the look began. */
  #empty = false;
  #lastAt = 0;
  /** Whether the socket was found empty in this pause, so that little is needed to look on. */
  #drained = false;
  /** What is put by for it: what is here, and during a look what may come. */
  #share = 0;
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
    stalls.enter(this);
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
    this.#blocks = [];
    this.#end = BLOCK_BYTES;
    this.#stop();
    stalls.leave(this);
  }

  /**
   * After a long pause: whether nothing has come for `ms` though the socket was read on. If it was not, that begins now. If it
   * can't, for want of memory, nobody knows; by the time of the next question an empty write has told what it can.
   */
  silent(ms: number, first: boolean): boolean {
    if (this.#ended || this.#socket!.destroyed) return true;
    if (this.#looking) return performance.now() - this.#lastAt >= ms;
    if (!first) return true;
    this.#tryLook();
    return false;
  }

  /** The connection takes no more bytes, though it was not asked just now. */
  pause(): void {
    if (this.#paused) return;
    this.#pause();
    this.#socket!.reading(false);
  }

  /** The connection takes bytes again; whether the socket may be read, because nothing is left here. */
  resume(): boolean {
    this.#paused = false;
    this.#handOn();
    if (!this.#paused) {
      this.#drained = false;
      this.#stop();
      return true;
    }
    // What is left came before the end that may be under way, so a look goes on.
    if (!this.#looking) {
      this.#keepShare(this.#held);
      this.#socket!.reading(false);
    }
    this.#pause();
    return false;
  }

  #handOn(): void {
    this.handing = true;
    while (this.#blocks.length > 0 && !this.#paused && !this.#socket!.destroyed) {
      const space = this.#asked();
      const part = this.#part(0).subarray(0, space.length);
      space.set(part);
      this.#start += part.length;
      if (this.#start === (this.#blocks.length === 1 ? this.#end : BLOCK_BYTES)) this.#dropFirst();
      if (!this.#into.callback(part.length, space)) this.#paused = true;
    }
    this.handing = false;
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
    this.#drained = n < from.length;
    this.#pause();
    return false;
  }

  #pause(): void {
    this.#paused = true;
    if (this.#timer === null) this.#timer = setTimeout(() => this.#look(), LOOK_MS);
  }

  /** Nothing more is looked for. */
  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    line.delete(this);
    this.#looked();
  }

  #look(): void {
    this.#timer = null;
    const socket = this.#socket!;
    if (socket.destroyed || this.#ended || !this.#paused) return;
    this.#timer = setTimeout(() => this.#look(), LOOK_MS);
    if (!this.#looking) {
      this.#tryLook();
    } else if (this.#empty) {
      this.#drained = true;
      this.#keepShare(Math.min(this.#share, this.#held + STEP_BYTES));
    }
  }

  /** Looks, or finds out what can be found out without. */
  #tryLook(): void {
    if (this.#held < AHEAD_BYTES) {
      line.add(this);
      this.#begin();
    }
    if (!this.#looking) this.#socket!.probe();
  }

  /** Looks, if there is memory for it now. */
  #begin(): void {
    const left = AHEAD_BYTES - this.#held;
    const need = this.#drained ? Math.min(STEP_BYTES, left) : left;
    if (reserved + need > (this.#drained ? ALL_BYTES : ALL_BYTES - STEP_ROOM)) return;
    line.delete(this);
    reserved += need;
    this.#share += need;
    this.#looking = true;
    this.#empty = true;
    this.#lastAt = performance.now();
    this.#socket!.reading(true);
  }

  #looked(): void {
    this.#looking = false;
    this.#keepShare(this.#held);
  }

  /** Leaves what it does not keep of its share to those in line. */
  #keepShare(bytes: number): void {
    const before = this.#share;
    this.#share = bytes;
    reserved += bytes - before;
    if (bytes < before) for (const other of line) other.#begin();
  }

  get #held(): number {
    return this.#blocks.length * BLOCK_BYTES;
  }

  /** Whether the socket may be read on: whether there is room for one more read, which may need one more block. */
  #keep(bytes: Uint8Array): boolean {
    this.#store(bytes);
    this.#empty = bytes.length < BLOCK_BYTES;
    this.#lastAt = performance.now();
    if (this.#looking && this.#held + BLOCK_BYTES <= this.#share) return true;
    const filled = !this.#drained;
    this.#drained = false;
    this.#looked();
    // What was put by to look on is full, so somebody sends: it has to have all that it may need again.
    if (!filled) this.#tryLook();
    return this.#looking;
  }

  #store(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#end === BLOCK_BYTES) {
        this.#blocks.push(new Uint8Array(BLOCK_BYTES));
        if (this.#blocks.length === 1) this.#start = 0;
        this.#end = 0;
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
  }
}
