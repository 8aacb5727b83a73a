/**
 * What is under a connection: an accepted socket or a descriptor, made to read into buffers of ours, or any stream that
 * carries bytes both ways.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConnectionFence } from './device.ts';
import type { AheadSocket, LookAhead } from './look_ahead.ts';
import { StreamTransport } from './stream_transport.ts';

/** As much of a socket as a connection uses. */
export interface ConnectionTransport {
  /** How to learn that the peer has ended, if the transport knows that by itself. */
  readonly fence?: ConnectionFence;
  /** Called before a descriptor is closed, or when the stream has closed. */
  beforeClose: (() => void) | null;
  /** Called when bytes can't be sent. True if it is no matter, because what the peer has sent is read to its end first. */
  unsent?: () => boolean;
  readonly destroyed: boolean;
  /** Bytes that were written and that nobody has taken yet. */
  readonly writableLength: number;
  on(event: 'error' | 'end' | 'close', listener: () => void): unknown;
  once(event: 'drain', listener: () => void): unknown;
  /** Finds out whether the peer takes anything, as far as that goes without a byte for it; an `error` tells if it does not. */
  probe?(): void;
  /** Lets the system ask after a peer that says nothing, first after `ms`. */
  setKeepAlive?(on: boolean, ms?: number): unknown;
  /** Memory behind `bytes` may be used again when `done` was called, or at once if `writableLength` is 0 then. */
  write(bytes: Uint8Array, done?: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
  end(done: () => void): unknown;
  destroy(error?: Error): unknown;
}

interface Source {
  readonly fd?: number;
  readonly socket?: Socket;
  readonly stream?: Duplex;
  readonly ahead?: LookAhead;
}

/** The descriptor-level handle of an accepted socket, which Node's own servers pass around but do not document. */
interface WithHandle {
  _handle: unknown;
}

const NOTHING = new Uint8Array(0);

type Done = (error?: Error | null) => void;

/** A socket that tells, before its descriptor is closed, that it is about to be. */
class ConnectionSocket extends Socket implements AheadSocket {
  beforeClose: (() => void) | null = null;
  unsent: () => boolean = () => false;
  #ahead: LookAhead | null = null;

  lookAhead(ahead: LookAhead): void {
    this.#ahead = ahead;
    ahead.attach(this);
    this.on('end', () => ahead.end());
    this.on('close', () => ahead.close());
  }

  override resume(): this {
    return this.#ahead === null || this.#ahead.resume() ? super.resume() : this;
  }

  probe(): void {
    if (!this.destroyed && !this.writableEnded && this.writableLength === 0) this.write(NOTHING);
  }

  reading(on: boolean): void {
    if (on) super.resume();
    else super.pause();
  }

  /** Node destroys a socket that can't be written to, with all that lies in it unread. */
  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, this.#sent(done));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    super._writev!(chunks, this.#sent(done));
  }

  #sent(done: Done): Done {
    return (error) => done(error instanceof Error && this.unsent() ? null : error);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.beforeClose?.();
    super._destroy(error, callback);
  }
}

export function openTransport(o: Source, onread: OnReadOpts): ConnectionTransport {
  if (o.stream !== undefined) return new StreamTransport(o.stream, onread);
  const socket = openSocket(o, o.ahead?.reads(onread) ?? onread);
  if (o.ahead !== undefined) socket.lookAhead(o.ahead);
  socket.setNoDelay(true);
  return socket;
}

function openSocket(o: Source, onread: OnReadOpts): ConnectionSocket {
  const common = { allowHalfOpen: true, onread };
  if (o.socket === undefined) {
    if (o.fd === undefined) throw new TypeError('a connection needs a descriptor, a socket or a stream');
    return new ConnectionSocket({ ...common, fd: o.fd, readable: true, writable: true } as SocketConstructorOpts);
  }
  // `onread` can only be given at construction, so the handle moves to a socket that has it.
  const accepted = o.socket as unknown as WithHandle;
  const socket = new ConnectionSocket({ ...common, handle: accepted._handle } as SocketConstructorOpts);
  accepted._handle = null;
  // Or a peer that has vanished while it was idle would keep its place for ever. The system's own times: Node knows no others
  // but with ten questions a second apart, and so short an outage shall not be the end of anybody.
  socket.setKeepAlive(true);
  o.socket.destroy();
  return socket;
}
