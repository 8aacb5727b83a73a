/**
 * The socket under a connection, made from an accepted socket or from a descriptor so that it reads into buffers of ours.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

interface SocketSource {
  readonly fd?: number;
  readonly socket?: Socket;
}

/** The descriptor-level handle of an accepted socket, which Node's own servers pass around but do not document. */
interface WithHandle {
  _handle: unknown;
}

/** A socket that tells, before its descriptor is closed, that it is about to be. */
export class ConnectionSocket extends Socket {
  beforeClose: (() => void) | null = null;

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.beforeClose?.();
    super._destroy(error, callback);
  }
}

export function openSocket(o: SocketSource, onread: OnReadOpts): ConnectionSocket {
  const common = { allowHalfOpen: true, onread };
  if (o.socket === undefined) {
    if (o.fd === undefined) throw new TypeError('a connection needs a descriptor or a socket');
    return new ConnectionSocket({ ...common, fd: o.fd, readable: true, writable: true } as SocketConstructorOpts);
  }
  // `onread` can only be given at construction, so the handle moves to a socket that has it.
  const accepted = o.socket as unknown as WithHandle;
  const socket = new ConnectionSocket({ ...common, handle: accepted._handle } as SocketConstructorOpts);
  accepted._handle = null;
  o.socket.destroy();
  return socket;
}
