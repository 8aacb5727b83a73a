/**
 * Any Duplex as the transport of a connection: TLS, a pipe to another process, one end of a pair in a test.
 *
 * Invariants:
 * - whatever the stream tells is passed on in a turn of its own: bytes first, then its end, what went wrong, and that it is
 *   closed. A pair can deliver in the call that writes to its other end, so all of that may come while the connection, or a
 *   device of it, is in the middle of something;
 * - until then, and while the connection is paused, at most HELD_BYTES and one chunk of the stream are held back here. A
 *   stream tells of its end in spite of that, so what is held back is there to be looked at, as what a kernel has of a socket;
 * - its end is told once, also of a stream that says nothing of it (`emitClose: false`), or destroys itself for ever;
 * - what is written is copied, because a stream may pass memory on long after it has confirmed the write.
 */
import type { OnReadOpts } from 'node:net';
import { type Duplex, finished } from 'node:stream';
import type { ConnectionFence } from './device.ts';

/** How often it is looked after a stream that may have been destroyed without a word. */
const LOOK_MS = 1000;
/** The stream is paused when so much has come in one turn: small chunks come many at a time, a large one alone. */
const HELD_BYTES = 64 * 1024;

type News = 'end' | 'error' | 'close';
/** In the order in which they are told, if they come in one turn. */
const NEWS: readonly News[] = ['end', 'error', 'close'];

export class StreamTransport implements ConnectionFence {
  beforeClose: (() => void) | null = null;
  readonly #stream: Duplex;
  readonly #onread: OnReadOpts;
  /** What came and was not passed on yet, or found no room. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #paused = false;
  #ended = false;
  #closed = false;
  /** The connection wants no more. What came before a stream destroyed itself is told first, as if it had been read at once. */
  #cut = false;
  /** A turn is asked for. */
  #asked = false;
  readonly #news = new Set<News>();
  readonly #listeners: Record<News, (() => void)[]> = { end: [], error: [], close: [] };
  readonly #looking: NodeJS.Timeout;

  constructor(stream: Duplex, onread: OnReadOpts) {
    this.#stream = stream;
    this.#onread = onread;
    stream.on('close', () => this.#tell('close'));
    stream.on('error', () => this.#tell('error'));
    stream.on('end', () => {
      this.#ended = true;
      this.#tell('end');
    });
    // Both sides at their end, or an error. One that was destroyed has its turn to say `close` first.
    finished(stream, () => this.#tell('close'));
    this.#looking = setInterval(() => {
      if (stream.destroyed) this.#close();
    }, LOOK_MS);
    stream.on('data', (chunk: unknown) => {
      if (chunk instanceof Uint8Array) this.#hold(chunk);
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
    let n = 0;
    for (const chunk of this.#held) {
      const part = chunk.subarray(0, into.length - n);
      into.set(part, n);
      n += part.length;
    }
    return n;
  }

  on(event: News, listener: () => void): void {
    this.#listeners[event].push(listener);
  }

  /** It brings no bytes, and who waits for it only asks for a turn. */
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
    if (this.#held.length > 0) this.#ask();
    else this.#stream.resume();
  }

  end(done: () => void): void {
    this.#stream.end(done);
  }

  destroy(error?: Error): void {
    this.#cut = true;
    this.beforeClose?.();
    this.#stream.destroy(error);
    setImmediate(() => this.#close());
  }

  #hold(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes >= HELD_BYTES) this.#stream.pause();
    this.#ask();
  }

  #tell(news: News): void {
    this.#news.add(news);
    this.#ask();
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#asked = false;
    this.#handOn();
    for (const news of NEWS) {
      if (!this.#news.delete(news)) continue;
      if (news === 'close') this.#close();
      else for (const listener of this.#listeners[news]) listener();
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#looking);
    this.beforeClose?.();
    this.#stream.destroy();
    for (const listener of this.#listeners.close) listener();
  }

  /** Puts bytes where the connection wants them, until it has no room. What comes meanwhile is of the next turn. */
  #handOn(): void {
    let left = this.#heldBytes;
    while (left > 0 && !this.#paused && !this.#cut && !this.#closed) {
      const into = this.#onread.buffer as unknown as () => Uint8Array;
      const space = into();
      const part = this.#held[0].subarray(0, space.length);
      space.set(part);
      left -= part.length;
      this.#drop(part.length);
      if (!this.#onread.callback(part.length, space)) this.pause();
    }
    if (this.#heldBytes === 0 && !this.#paused) this.#stream.resume();
  }

  /** Forgets bytes of the first chunk. */
  #drop(n: number): void {
    this.#heldBytes -= n;
    const [first] = this.#held;
    if (n === first.length) this.#held.shift();
    else this.#held[0] = first.subarray(n);
  }
}
