/**
 * One connection of a server: owns the socket, runs the handshake under a deadline, then the transmission phase.
 *
 * Invariants:
 * - the socket writes into buffers of this connection, and a full one pauses it: memory per connection is bounded by the
 *   inbox, MAX_CHUNKS chunks of replies and the read buffers, whatever the client sends or fails to read;
 * - `onEnd` is called exactly once, when the socket is closed and no request of it is with the device any more.
 */
import type { Socket } from 'node:net';
import { type ConnectionSocket, openSocket } from './connection_socket.ts';
import { type ConnectionCounters, connectionCounters } from './counters.ts';
import type { ConnectionFence, Device } from './device.ts';
import type { ExportInfo } from './export_info.ts';
import { Handshake } from './handshake.ts';
import { Inbox, MAX_BLOCK_SIZE } from './inbox.ts';
import { Outbox } from './outbox.ts';
import { Transmission, type TransmissionHost } from './transmission.ts';

/** Deadline for the handshake unless another one is given. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long a finished connection waits for its client to take the last replies. */
export const LINGER_MS = 10_000;
/** A socket that was last empty longer ago than this may bring requests that their client has given up. */
export const STALE_AFTER_MS = 500;
/** Receive buffer before transmission begins. */
const HANDSHAKE_BYTES = 4096;

export interface ConnectionOptions {
  /** An open descriptor that the connection takes over. Either this or `socket`. */
  readonly fd?: number;
  /** A socket accepted with `pauseOnConnect`, of which no byte was read. It is of no use to its owner afterwards. */
  readonly socket?: Socket;
  readonly exports: readonly ExportInfo[];
  /** Finds the device of the export that the client chose. An error thrown here ends the connection. */
  readonly device: (info: ExportInfo) => Device;
  /** How to learn that the peer has ended; null if there is no way. */
  readonly fence: ConnectionFence | null;
  /** Whether the server is stopping: the handshake refuses, and requests are answered with ESHUTDOWN. */
  readonly stopping?: () => boolean;
  readonly listing?: boolean;
  readonly handshakeTimeoutMs?: number;
  readonly counters?: ConnectionCounters;
  readonly onEnd?: (connection: Connection) => void;
}

export class Connection implements TransmissionHost {
  readonly counters: ConnectionCounters;
  readonly #o: ConnectionOptions;
  readonly #socket: ConnectionSocket;
  readonly #handshake: Handshake;
  readonly #small = Buffer.allocUnsafeSlow(HANDSHAKE_BYTES);
  readonly #onTurn = (): void => this.#turn();
  #inbox: Inbox | null = null;
  #outbox: Outbox | null = null;
  #transmission: Transmission | null = null;
  #timer: NodeJS.Timeout | null = null;
  #kicked = false;
  /** The socket was told to pause because the inbox is crowded. */
  #paused = false;
  /** Nothing is read any more, for good. */
  #deaf = false;
  #stopping = false;
  #finishing = false;
  #closed = false;
  #reported = false;
  #pausedAt = 0;
  /** What the socket was offered for its next read. */
  #offered: Uint8Array = this.#small;
  /** When the socket was last found empty. */
  #emptyAt = 0;
  #counted = 0;

  constructor(o: ConnectionOptions) {
    this.#o = o;
    this.counters = o.counters ?? connectionCounters();
    this.#handshake = new Handshake({
      exports: o.exports,
      write: (bytes) => this.#socket.write(bytes),
      stopping: () => this.stopping,
      ...(o.listing === undefined ? {} : { listing: o.listing }),
    });
    this.#socket = openSocket(o, { buffer: () => this.#space(), callback: (n) => this.#received(n) });
    this.#socket.beforeClose = () => this.#lost();
    // What went wrong with a socket is told by its end; without a listener it would end the process.
    this.#socket.on('error', () => this.#lost());
    this.#socket.on('end', () => this.#peerEnded());
    this.#socket.on('close', () => {
      this.#closed = true;
      this.#report();
    });
    this.#socket.setNoDelay(true);
    this.#setTimer(o.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS);
    this.#handshake.start();
  }

  get stopping(): boolean {
    return this.#stopping || (this.#o.stopping?.() ?? false);
  }

  /** The export, once the client has chosen one. */
  get export(): ExportInfo | null {
    return this.#handshake.negotiated?.export ?? null;
  }

  /** Whether no request is unfinished. */
  get idle(): boolean {
    return this.#transmission?.idle ?? true;
  }

  /** Lets running requests finish, answers new ones with ESHUTDOWN, and closes when there is none left. */
  stop(): void {
    this.#stopping = true;
    if (this.#transmission === null) this.destroy();
    else if (!this.#finishing) this.#watchPeer();
    this.kick();
  }

  /**
   * A peer that neither reads its replies nor sends the rest of a request is given up after LINGER_MS, so that it can't
   * hold up a stop. Waiting for the device has no such bound: what it was given has to finish.
   */
  #watchPeer(before = -1): void {
    const { bytesRead, bytesWritten, writableLength } = this.#socket;
    const { writes, starved } = this.#transmission!;
    const moved = bytesRead + bytesWritten - writableLength;
    const owed = writableLength > 0 || (writes.receiving !== null && starved);
    if (owed && moved === before) this.destroy();
    else this.#setTimer(LINGER_MS, () => this.#watchPeer(moved));
  }

  /** Ends the connection at once; requests that are with the device run out, fenced. */
  destroy(): void {
    if (this.#transmission !== null) this.#transmission.drop();
    this.cut();
  }

  kick(): void {
    if (this.#kicked) return;
    this.#kicked = true;
    setImmediate(this.#onTurn);
  }

  stopReading(): void {
    this.#deaf = true;
  }

  finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    this.#deaf = true;
    this.#socket.pause();
    this.#outbox?.flush();
    if (this.#socket.destroyed) {
      this.#report();
      return;
    }
    this.#setTimer(LINGER_MS);
    this.#socket.end(() => this.#socket.destroy());
  }

  cut(): void {
    this.#setTimer(0);
    this.#socket.destroy();
  }

  drained(): void {
    this.#report();
  }

  #setTimer(ms: number, then: () => void = () => this.destroy()): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = ms === 0 ? null : setTimeout(then, ms);
  }

  #space(): Uint8Array {
    const space = this.#inbox === null ? this.#small : this.#inbox.space();
    this.#offered = space;
    return space;
  }

  /** The socket has put `n` bytes where it was told to. False makes it pause. */
  #received(n: number): boolean {
    this.counters.bytesIn += n;
    if (this.#deaf) return false;
    const inbox = this.#inbox;
    if (inbox === null) return this.#greeted(n);
    inbox.received(this.#offered, n);
    const transmission = this.#transmission!;
    const now = performance.now();
    const empty = n < this.#offered.length;
    if (now - this.#emptyAt > STALE_AFTER_MS) transmission.behind = true;
    if (empty) this.#emptyAt = now;
    this.#run(transmission);
    if (empty && transmission.starved) transmission.behind = false;
    this.#paused = inbox.crowded;
    this.#pausedAt = now;
    return !this.#paused && !this.#deaf;
  }

  #turn(): void {
    this.#kicked = false;
    const transmission = this.#transmission;
    if (transmission === null || transmission.ended || this.#finishing) return;
    if (this.#paused && !this.#deaf && !transmission.writes.waiting) this.#catchUp();
    this.#run(transmission);
    if (this.#paused && !this.#deaf && this.#inbox!.roomy && !transmission.writes.waiting) {
      this.#paused = false;
      this.#socket.resume();
    }
  }

  /**
   * The end of a TCP connection stands behind all that its client had queued, and arrives only when there is room for
   * that. So after a long pause the bytes come in first, and what to do with them is seen then.
   */
  #catchUp(): void {
    const { fence } = this.#o;
    if (fence?.receive === undefined || performance.now() - this.#pausedAt < STALE_AFTER_MS) return;
    if (!fence.peerClosed()) this.counters.bytesIn += this.#inbox!.fill((into) => fence.receive!(into));
    this.#pausedAt = performance.now();
  }

  #run(transmission: Transmission): void {
    transmission.run();
    const total = this.#outbox!.total;
    this.counters.bytesOut += total - this.#counted;
    this.#counted = total;
  }

  #greeted(n: number): boolean {
    const handshake = this.#handshake;
    const at = handshake.push(this.#small, 0, n);
    if (handshake.state === 'dropped') this.cut();
    else if (handshake.state === 'closed') this.finish();
    else if (handshake.state === 'transmission') this.#transmit(at, n);
    return !this.#deaf && !this.#socket.destroyed;
  }

  /** Enters the transmission phase with the bytes [at, n) of the small buffer. */
  #transmit(at: number, n: number): void {
    const negotiated = this.#handshake.negotiated!;
    let device: Device;
    try {
      device = this.#o.device(negotiated.export);
      if (device.blockSize > MAX_BLOCK_SIZE) throw new RangeError(`block size beyond ${MAX_BLOCK_SIZE}`);
    } catch (error) {
      this.#socket.destroy(error as Error);
      return;
    }
    this.#setTimer(0);
    const inbox = new Inbox();
    inbox.bytes.set(this.#small.subarray(at, n));
    inbox.end = n - at;
    const outbox = new Outbox(this.#socket, () => this.kick());
    this.#inbox = inbox;
    this.#outbox = outbox;
    this.#emptyAt = performance.now();
    const { counters } = this;
    const { fence } = this.#o;
    this.#transmission = new Transmission({ host: this, device, negotiated, inbox, outbox, fence, counters });
    this.#run(this.#transmission);
  }

  #peerEnded(): void {
    if (this.#transmission === null) this.cut();
    else this.#transmission.peerEnded();
  }

  /** The socket has failed or is about to be closed; its descriptor is still open. */
  #lost(): void {
    const transmission = this.#transmission;
    if (transmission === null || transmission.ended || this.#finishing) return;
    transmission.peerEnded();
    this.#outbox!.kill();
  }

  #report(): void {
    if (!this.#closed || this.#reported || !this.idle) return;
    const transmission = this.#transmission;
    // A promise that is not yet kept: requests lie parsed or not, and `finish` comes back here.
    if (transmission !== null && !transmission.ended && !this.#finishing) return;
    this.#reported = true;
    this.#setTimer(0);
    this.#o.onEnd?.(this);
  }
}
