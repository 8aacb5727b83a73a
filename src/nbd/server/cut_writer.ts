/**
 * For tests (mishaps.ts): writes to a socket in two parts with a pause between them. What is written meanwhile waits behind, and
 * is bounded by the chunks of the outbox, which come back as the socket confirms them.
 */
import type { ConnectionTransport } from './transport.ts';

type Writable = Pick<ConnectionTransport, 'write'>;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly done: () => void;
}

export class CutWriter {
  readonly #socket: Writable;
  readonly #over: () => void;
  #next: { readonly at: number | null; readonly ms: number } | null = null;
  /** Not null while a pause lasts. */
  #waiting: Waiting[] | null = null;

  /** `over`: nothing is cut or waits any more. */
  constructor(socket: Writable, over: () => void) {
    this.#socket = socket;
    this.#over = over;
  }

  /** `at`: null for the middle. */
  cutNext(at: number | null, ms: number): void {
    this.#next ??= { at, ms };
  }

  write(bytes: Uint8Array, done: () => void): void {
    if (this.#waiting !== null) {
      this.#waiting.push({ bytes, done });
      return;
    }
    const cut = this.#next;
    this.#next = null;
    if (cut === null) {
      this.#socket.write(bytes, done);
      return;
    }
    const at = Math.min(cut.at ?? bytes.length >>> 1, bytes.length - 1);
    this.#waiting = [{ bytes: bytes.subarray(at), done }];
    if (at > 0) this.#socket.write(bytes.subarray(0, at));
    setTimeout(() => this.#goOn(), cut.ms);
  }

  #goOn(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const one of waiting) this.write(one.bytes, one.done);
    if (this.#waiting === null && this.#next === null) this.#over();
  }
}
