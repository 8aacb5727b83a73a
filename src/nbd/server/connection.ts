/**
 * One connection of a server: owns the socket, runs the handshake under a deadline, then the transmission phase.
 *
 * Invariants:
 * - the socket writes into buffers of this connection, and a full one pauses it: memory per connection is bounded by the
 *   inbox, MAX_CHUNKS chunks of replies and the read buffers, whatever the client sends or fails to read;
 * - `onEnd` is called exactly once, when the socket is closed and no request of it is with the device any more.
 */

import type { ExportInfo } from '../export_info.ts';
import { Arrivals } from './arrivals.ts';
import { type ConnectionOptions, HANDSHAKE_TIMEOUT_MS, LAST_HANDSHAKE_MS, LINGER_MS } from './connection_options.ts';
import { type ConnectionCounters, connectionCounters } from './counters.ts';
import { Deadline } from './deadline.ts';
import type { Device } from './device.ts';
import { openDevice } from './device_check.ts';
import { Farewell } from './farewell.ts';
import { OpenFence } from './fence.ts';
import { Greeter } from './greeter.ts';
import type { Negotiated } from './handshake.ts';
import { Inbox } from './inbox.ts';
import { Outbox } from './outbox.ts';
import { Transmission } from './transmission.ts';
import type { TransmissionHost } from './transmission_host.ts';
import { type ConnectionTransport, openTransport } from './transport.ts';
import { TurnBudget } from './turn_budget.ts';

export class Connection implements TransmissionHost {
  readonly counters: ConnectionCounters;
  readonly #o: ConnectionOptions;
  readonly #socket: ConnectionTransport;
  readonly #greeter: Greeter;
  readonly #fence: OpenFence | null;
  readonly #arrivals: Arrivals;
  readonly #farewell = new Farewell();
  readonly #budget = new TurnBudget();
  readonly #onTurn = (): void => this.#turn();
  /** Of the export that the client has chosen. */
  #device: Device | null = null;
  #inbox: Inbox | null = null;
  #outbox: Outbox | null = null;
  #transmission: Transmission | null = null;
  readonly #deadline = new Deadline(() => this.destroy());
  #kicked = false;
  /** The socket was told to pause: the inbox is crowded, or its end may stand behind more than was read. */
  #paused = false;
  /** The client takes no replies any more, and it is looked for what it has sent before. */
  #unheard = false;
  /** Nothing is read any more, for good. */
  #deaf = false;
  #stopping = false;
  #closed = false;
  #reported = false;
  /** What the socket was offered for its next read. */
  #offered!: Uint8Array;

  constructor(o: ConnectionOptions) {
    this.#o = o;
    this.counters = o.counters ?? connectionCounters();
    const listing = o.listing === undefined ? {} : { listing: o.listing };
    const open = openDevice(o.device, (device) => {
      this.#device = device;
    });
    const stopping = (): boolean => this.stopping && o.hangsUp !== true;
    const greeted = { exports: o.exports, stopping, open, ...listing };
    this.#greeter = new Greeter(greeted, this.#budget, () => this.kick());
    this.#socket = openTransport(o, { buffer: () => this.#space(), callback: (n) => this.#received(n) });
    const fence = o.fence ?? this.#socket.fence ?? null;
    this.#fence = fence === null ? null : new OpenFence(fence);
    this.#arrivals = new Arrivals(this.#fence, o.ahead ?? null, () => this.kick());
    this.#socket.beforeClose = () => {
      this.#lost();
      this.#fence?.close();
    };
    this.#socket.unsent = () => this.#unsent();
    // What went wrong with a socket is told by its end; without a listener it would end the process.
    this.#socket.on('error', () => this.#lost());
    this.#socket.on('end', () => this.#peerEnded());
    this.#socket.on('close', () => {
      this.#closed = true;
      this.#farewell.over();
      this.#report();
    });
    this.#deadline.set(o.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS);
    this.#greeter.start(this.#socket);
  }

  get stopping(): boolean {
    return this.#stopping || (this.#o.stopping?.() ?? false);
  }

  /** The export, once the client has chosen one. */
  get export(): ExportInfo | null {
    return this.#greeter.negotiated?.export ?? null;
  }

  /** Whether no request is unfinished. */
  get idle(): boolean {
    return this.#transmission?.idle ?? true;
  }

  /** Is another one when the device, or the client, has done anything. */
  get progress(): string {
    return this.#transmission?.progress ?? '';
  }

  /**
   * Lets running requests finish, answers new ones with ESHUTDOWN (or not: hangsUp), and closes when there is none left. What
   * the peer owes, the rest of a request or room for its replies, has to be there in time, and nothing that it does meanwhile
   * buys more. Waiting for the device has no such bound: what it was given has to finish, unless somebody calls `destroy`.
   */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    if (this.#transmission !== null) this.#deadline.setForDebt(this.#o.stopTimeoutMs ?? LINGER_MS, () => this.#owes());
    else if (this.#o.hangsUp === true) this.#deadline.set(LAST_HANDSHAKE_MS);
    else this.destroy();
    this.kick();
  }

  #owes(): boolean {
    const { writes, starved } = this.#transmission!;
    return this.#socket.writableLength > 0 || (writes.receiving !== null && starved);
  }

  /**
   * Ends the connection at once, whatever it is doing. What was published stays, what was not is dropped; a unit that the
   * device has taken is dropped as soon as it asks, and `onEnd` comes when the last one has settled.
   */
  destroy(): void {
    if (this.#transmission !== null) this.#transmission.drop();
    this.cut();
  }

  kick(): void {
    if (this.#kicked) return;
    this.#kicked = true;
    this.#budget.ask();
    setImmediate(this.#onTurn);
  }

  stopReading(): void {
    this.#deaf = true;
    this.#farewell.watch(this.#socket);
  }

  finish(): void {
    if (this.#farewell.begun) return;
    this.#deaf = true;
    this.#outbox?.flush();
    // A stop has set its own deadline already.
    if (!this.#deadline.running) this.#deadline.set(LINGER_MS);
    this.#farewell.begin(this.#socket, this.#transmission?.leaving ?? true);
    this.#report();
  }

  cut(): void {
    this.#deadline.clear();
    this.#socket.destroy();
    // One that outlived its socket has no close to wait for.
    this.#report();
  }

  drained(): void {
    this.#report();
  }

  #space(): Uint8Array {
    if (this.#farewell.begun) return this.#farewell.space;
    this.#offered = this.#inbox === null ? this.#greeter.small : this.#inbox.space();
    return this.#offered;
  }

  /** The socket has put `n` bytes where it was told to. False makes it pause. */
  #received(n: number): boolean {
    this.counters.bytesIn += n;
    if (this.#farewell.begun) return this.#farewell.received(n);
    if (this.#deaf) return false;
    const arrivals = this.#arrivals;
    const empty = arrivals.read(n < this.#offered.length);
    const inbox = this.#inbox;
    if (inbox === null) {
      this.#greeter.received(n);
      return this.#greet();
    }
    inbox.received(this.#offered, n);
    const transmission = this.#transmission!;
    if (arrivals.stale) transmission.behind = true;
    this.#budget.received(n);
    if (arrivals.mayHideEnd(n)) {
      this.#paused = true;
      this.kick();
      return false;
    }
    transmission.run();
    // A socket that was found empty is not read again in this turn.
    if (empty) this.#budget.renew();
    if (empty && transmission.starved) {
      transmission.behind = false;
      arrivals.emptied();
    }
    this.#paused = inbox.crowded || this.#unheard;
    return !this.#paused && !this.#deaf;
  }

  #turn(): void {
    this.#kicked = false;
    this.#budget.begin();
    const transmission = this.#transmission;
    if (transmission === null) {
      if (this.#paused && !this.#deaf && !this.#socket.destroyed && this.#greet()) this.#socket.resume();
      return;
    }
    if (transmission.ended || this.#farewell.begun) return;
    const more = this.#mayRead(transmission) && this.#arrivals.catchUp(this.#inbox!, (n) => this.#took(n));
    if (more) transmission.writes.giveBack();
    if (more) return;
    // That its end was not found means that it is out of reach. This looks at what there is.
    if (this.#unheard && !this.#deaf && !this.#fence!.peerClosed()) this.#socket.destroy();
    transmission.run();
    if (this.#mayRead(transmission) && this.#inbox!.roomy) {
      this.#paused = false;
      this.#inbox!.giveBack();
      this.#socket.resume();
    }
  }

  /** Whether the socket is paused for want of room, and more could be done with more bytes, or be told from them. */
  #mayRead(transmission: Transmission): boolean {
    return this.#paused && !this.#deaf && (this.#unheard || !transmission.writes.waiting);
  }

  #took(bytes: number): void {
    this.counters.bytesIn += bytes;
    this.#budget.received(bytes);
  }

  /** Goes on with the handshake; false if the socket may not read on. */
  #greet(): boolean {
    const greeter = this.#greeter;
    const state = greeter.run();
    if (state === 'dropped') this.cut();
    else if (state === 'closed') this.finish();
    else if (state === 'transmission') this.#transmit(greeter.negotiated!, greeter.rest);
    this.#paused = greeter.held;
    return !this.#paused && !this.#deaf && !this.#socket.destroyed;
  }

  /** Enters the transmission phase with what has arrived behind the handshake. */
  #transmit(negotiated: Negotiated, rest: Uint8Array): void {
    this.#deadline.clear();
    const inbox = new Inbox(rest);
    const outbox = new Outbox(this.#socket, this.counters, () => this.kick());
    this.#inbox = inbox;
    this.#outbox = outbox;
    const [fence, budget, device, counters] = [this.#fence, this.#budget, this.#device!, this.counters];
    const given = this.#o.mishaps === undefined ? {} : { mishaps: this.#o.mishaps };
    const host = { host: this, device, negotiated, inbox, outbox, fence, counters, budget, ...given };
    this.#transmission = new Transmission({ ...host, hangsUp: this.#o.hangsUp === true });
    this.#transmission.run();
  }

  #peerEnded(): void {
    this.#farewell.peerEnded();
    if (this.#farewell.begun) return;
    if (this.#transmission === null) this.cut();
    else this.#transmission.peerEnded();
  }

  /** A reply could not be sent. Whether the connection goes on, first to look for a goodbye in what it has not read yet. */
  #unsent(): boolean {
    const transmission = this.#transmission;
    if (transmission === null || transmission.ended || this.#deaf || this.#unheard) return false;
    if (!this.#arrivals.unheard()) return false;
    this.#unheard = true;
    this.#paused = true;
    this.#outbox!.kill();
    this.kick();
    return true;
  }

  /** The socket has failed or is about to be closed; its descriptor is still open. */
  #lost(): void {
    const transmission = this.#transmission;
    if (transmission === null || transmission.ended || this.#farewell.begun) return;
    transmission.peerEnded();
    this.#outbox!.kill();
  }

  #report(): void {
    if (!this.#closed || this.#reported || !this.idle) return;
    const transmission = this.#transmission;
    // A promise that is not yet kept: requests lie parsed or not, and `finish` comes back here.
    if (transmission !== null && !transmission.ended && !this.#farewell.begun) return;
    this.#reported = true;
    this.#deadline.clear();
    transmission?.over();
    this.#o.onEnd?.();
  }
}
