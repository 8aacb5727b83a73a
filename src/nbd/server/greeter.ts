/**
 * The handshake of one connection at its socket's pace: its work counts against the turn, and its replies against a bound.
 *
 * Invariants:
 * - what has arrived and was not yet looked at stays in `small`, so the socket is paused as long as anything is `held`;
 * - while more than MAX_UNSENT bytes wait for the client, no reply is made; one part of an answer can go beyond that.
 */
import {
  Handshake,
  type HandshakeOptions,
  type HandshakePace,
  type HandshakeState,
  type Negotiated,
} from './handshake.ts';
import type { ConnectionTransport } from './transport.ts';
import type { TurnBudget } from './turn_budget.ts';

/** Receive buffer before transmission begins. */
const HANDSHAKE_BYTES = 4096;
/** Replies that the client has not taken and the kernel has no room for. */
const MAX_UNSENT = 256 * 1024;

export class Greeter implements HandshakePace {
  readonly small = Buffer.allocUnsafeSlow(HANDSHAKE_BYTES);
  readonly #handshake: Handshake;
  readonly #budget: TurnBudget;
  readonly #again: () => void;
  #socket!: ConnectionTransport;
  #at = 0;
  #end = 0;
  #draining = false;

  /** `again` is called when `run` can go on with what is held. */
  constructor(o: Omit<HandshakeOptions, 'pace' | 'write'>, budget: TurnBudget, again: () => void) {
    this.#budget = budget;
    this.#again = again;
    this.#handshake = new Handshake({ ...o, pace: this, write: (bytes) => this.#socket.write(bytes) });
  }

  get negotiated(): Negotiated | null {
    return this.#handshake.negotiated;
  }

  /** Whether something was left for a later turn. */
  get held(): boolean {
    return this.#handshake.state === 'options' && (this.#at < this.#end || this.#handshake.answering);
  }

  /** What has arrived behind the handshake. */
  get rest(): Uint8Array {
    return this.small.subarray(this.#at, this.#end);
  }

  get mayGoOn(): boolean {
    return !this.#budget.spent && this.#socket.writableLength <= MAX_UNSENT;
  }

  spend(units: number): void {
    this.#budget.spend(units);
  }

  start(socket: ConnectionTransport): void {
    this.#socket = socket;
    this.#handshake.start();
  }

  /** The socket has put `n` bytes into `small`. */
  received(n: number): void {
    this.#at = 0;
    this.#end = n;
    this.#budget.received(n);
  }

  /** Does what may be done now. If something is held then, `again` is called later. */
  run(): HandshakeState {
    this.#at = this.#handshake.push(this.small, this.#at, this.#end);
    if (this.held) this.#wait();
    // A socket that was found empty is not read again in this turn.
    else if (this.#end < this.small.length) this.#budget.renew();
    return this.#handshake.state;
  }

  #wait(): void {
    if (this.#budget.spent) {
      this.#again();
    } else if (!this.#draining) {
      this.#draining = true;
      this.#socket.once('drain', () => {
        this.#draining = false;
        this.#again();
      });
    }
  }
}
