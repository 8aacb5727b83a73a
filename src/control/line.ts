/**
 * The line of requests: one is answered in each turn of the event loop, over all connections, and of a connection one at a time.
 * An answer may take the main thread some 50 ms (a list of 65,000 memcgs), which also accepts those who swap, hands out their
 * connections and stops the server; so what a client writes at once must not be answered at once. And the next answer of a
 * connection is made when the one before has gone, so that a client which doesn't read has one of them in our memory.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that wait for their answers. No client needs more than one; a chunk may have two thousand. */
export const REQUESTS_PER_CONNECTION = 64;

interface Waiting {
  readonly socket: Socket;
  readonly response: ServerResponse;
  readonly answer: () => Promise<void>;
}

export class RequestLine {
  /** By connection, first come, first served. */
  private readonly waiting = new WeakMap<Socket, Waiting[]>();
  /** Those of `waiting` whose first one can be answered now, in turn; at most one for each connection. */
  private readonly ready: Waiting[][] = [];
  /** One was answered in this turn. */
  private taken = false;

  /** False where too many wait already. */
  join({ socket }: IncomingMessage, response: ServerResponse, answer: () => Promise<void>): boolean {
    const own = this.waiting.get(socket) ?? [];
    if (own.length === REQUESTS_PER_CONNECTION) return false;
    this.waiting.set(socket, own);
    own.push({ socket, response, answer });
    if (own.length === 1) this.enter(own);
    return true;
  }

  private enter(own: Waiting[]): void {
    this.ready.push(own);
    // At once if it can be: who closes his half right after a request is not there to be answered in the next turn.
    if (!this.taken) this.next();
  }

  private next(): void {
    const own = this.ready.shift();
    this.taken = own !== undefined;
    if (own === undefined) return;
    setImmediate(() => this.next());
    const [{ socket, response, answer }] = own;
    response.once('close', () => {
      own.shift();
      // What a client still wanted that has gone is left out.
      if (own.length > 0 && !socket.destroyed) this.enter(own);
    });
    void answer();
  }
}
