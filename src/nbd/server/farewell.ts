/**
 * The last of a connection: what was written reaches its client before the socket is closed.
 *
 * A kernel that closes a socket with bytes unread in it, or to which more come afterwards, says so to the other end instead of
 * an end: over TCP by a reset, which throws away the replies that were still on their way. So this side is ended first, and
 * what comes then is read and forgotten. The socket is closed
 * - when its peer has ended its side, too;
 * - after a goodbye, behind which nothing is to come: when nothing is there any more;
 * - when LAST_MS have passed since the kernel took the last reply, or LAST_BYTES have come.
 * How long a client may take to make room for its replies is the business of whoever owns the socket.
 */
import { GoodbyeWatch } from './goodbye_watch.ts';
import type { ConnectionTransport } from './transport.ts';

const LAST_MS = 1000;
/** More than both kernels have of what a client has sent, as Linux comes. */
const LAST_BYTES = 12 * 1024 * 1024;
/** A socket that may be read is read in the turn after it was told so, if there is anything. */
const QUIET_TURNS = 2;

/** Where all of them put what is forgotten. */
const landing = new Uint8Array(64 * 1024);

export class Farewell {
  readonly space: Uint8Array = landing;
  #socket: ConnectionTransport | null = null;
  #leaving = false;
  #reading = false;
  #written = false;
  #peerEnded = false;
  #bytes = 0;
  #quiet = 0;
  #over = false;
  #timer: NodeJS.Timeout | null = null;
  readonly #watch = new GoodbyeWatch();

  /** Whether nothing is done any more but this. */
  get begun(): boolean {
    return this.#socket !== null;
  }

  /** The client has said goodbye, and waits for replies or does not: `begin` comes when it has them. */
  watch(socket: ConnectionTransport): void {
    // The goodbye of a client that has gone can be read when its socket is closed, and then nothing would end the watch.
    if (!this.#over) this.#watch.start(socket);
  }

  /** `leaving`: the client has said goodbye. Whatever is to be said was written. */
  begin(socket: ConnectionTransport, leaving: boolean): void {
    this.#socket = socket;
    this.#watch.stop();
    if (socket.destroyed) return;
    this.#leaving = leaving;
    socket.pause();
    // Not before whoever is being told of bytes has said that he takes no more.
    setImmediate(() => {
      if (!socket.destroyed) socket.resume();
      this.#reading = true;
      this.#goOn();
    });
    socket.end(() => {
      this.#written = true;
      this.#goOn();
    });
  }

  /** `n` bytes were put into `space`; whether more may come. */
  received(n: number): boolean {
    this.#bytes += n;
    this.#quiet = -1;
    if (this.#bytes <= LAST_BYTES) return true;
    this.peerEnded();
    return false;
  }

  /** The peer's last byte was read, now or before. */
  peerEnded(): void {
    this.#peerEnded = true;
    this.#goOn();
  }

  /** The socket is closed. */
  over(): void {
    this.#over = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#watch.stop();
  }

  #goOn(): void {
    const socket = this.#socket;
    if (socket === null || !this.#written || socket.destroyed) return;
    if (this.#peerEnded) {
      socket.destroy();
      return;
    }
    if (!this.#reading || this.#timer !== null) return;
    this.#timer = setTimeout(() => socket.destroy(), LAST_MS);
    if (this.#leaving) this.#look(socket);
  }

  #look(socket: ConnectionTransport): void {
    setImmediate(() => {
      if (socket.destroyed) return;
      if (++this.#quiet < QUIET_TURNS) this.#look(socket);
      else socket.destroy();
    });
  }
}
