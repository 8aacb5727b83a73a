/**
 * Any Duplex as the transport of a connection: TLS, a pipe to another process, one end of a pair in a test.
 *
 * Invariants:
 * - at most one chunk of the stream is held back here, while the connection is paused. A stream tells of its end in spite of
 *   that, so what is held back is there to be looked at, as what a kernel has of a socket;
 * - its end is told once, also of a stream that says nothing of it (`emitClose: false`), or destroys itself for ever;
 * - what is written is copied, because a stream may pass memory on long after it has confirmed the write.
 */
import type { OnReadOpts } from 'node:net';
import { type Duplex, finished } from 'node:stream';
import type { ConnectionFence } from './device.ts';

/** How often it is looked after a stream that may have been destroyed without a word. */
const LOOK_MS = 1000;

export class StreamTransport implements ConnectionFence {
  beforeClose: (() => void) | null = null;
  readonly #stream: Duplex;
  readonly #onread: OnReadOpts;
  /** What came and found no room. */
  #rest: Uint8Array = new Uint8Array(0);
  #paused = false;
  #ended = false;
  #closed = false;
  readonly #onClose: (() => void)[] = [];
  readonly #looking: NodeJS.Timeout;

  constructor(stream: Duplex, onread: OnReadOpts) {
    this.#stream = stream;
    this.#onread = onread;
    stream.on('close', () => this.#close());
    stream.on('end', () => {
      this.#ended = true;
    });
    // Both sides at their end, or an error. One that was destroyed has its turn to say `close` first.
    finished(stream, () => setImmediate(() => this.#close()));
    this.#looking = setInterval(() => {
      if (stream.destroyed) this.#close();
    }, LOOK_MS);
    stream.on('data', (chunk: unknown) => {
      if (chunk instanceof Uint8Array) this.#deliver(chunk);
      else stream.destroy(new TypeError('the stream of a connection gives bytes, not text or objects'));
    });
  }

  get fence(): ConnectionFence {
    return this;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  peerClosed(): boolean {
    return this.#ended || this.#closed;
  }

  peek(into: Uint8Array): number {
    const part = this.#rest.subarray(0, into.length);
    into.set(part);
    return part.length;
  }

  on(event: 'error' | 'end' | 'close', listener: () => void): void {
    if (event === 'close') this.#onClose.push(listener);
    else this.#stream.on(event, listener);
  }

  once(event: 'drain', listener: () => void): void {
    this.#stream.once(event, listener);
  }

  write(bytes: Uint8Array, done?: () => void): void {
    this.#stream.write(Buffer.from(bytes), done);
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    const rest = this.#rest;
    this.#rest = rest.subarray(rest.length);
    this.#deliver(rest);
    if (!this.#paused) this.#stream.resume();
  }

  end(done: () => void): void {
    this.#stream.end(done);
  }

  destroy(error?: Error): void {
    this.beforeClose?.();
    this.#stream.destroy(error);
    setImmediate(() => this.#close());
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#looking);
    this.beforeClose?.();
    this.#stream.destroy();
    for (const listener of this.#onClose) listener();
  }

  /** Puts bytes where the connection wants them, until it has no room. */
  #deliver(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#paused && !this.#stream.destroyed) {
      const into = this.#onread.buffer as unknown as () => Uint8Array;
      const space = into();
      const n = Math.min(space.length, chunk.length - at);
      space.set(chunk.subarray(at, at + n));
      at += n;
      if (!this.#onread.callback(n, space)) this.pause();
    }
    if (at < chunk.length) this.#rest = chunk.subarray(at);
  }
}
