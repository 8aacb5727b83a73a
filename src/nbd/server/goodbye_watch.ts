/**
 * Whether a client that has said goodbye still takes its replies. Nothing is read of it any more, so nothing tells that it has
 * gone, while a device takes its time; and an end of its side alone is none: it may read on. So it is asked by an empty
 * write, which a unix socket refuses once its peer has closed it, and one of TCP when a reset has come. That comes when the
 * system asks after a client whose kernel knows nothing of it any more: on Linux about a minute after it has closed.
 */
import type { ConnectionTransport } from './transport.ts';

const LOOK_MS = 1000;
/** After so long the system asks first, and again. Whoever has said goodbye and can't be reached has no more to lose than READs. */
const ASK_MS = 10_000;

export class GoodbyeWatch {
  #timer: NodeJS.Timeout | null = null;

  /** What is found is told as an error of the socket. */
  start(socket: ConnectionTransport): void {
    if (this.#timer !== null) return;
    socket.setKeepAlive?.(true, ASK_MS);
    this.#timer = setInterval(() => socket.probe?.(), LOOK_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
