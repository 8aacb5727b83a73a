/**
 * The sending half of the client: opening a socket under a deadline, request headers, and writes joined per turn.
 *
 * Invariant: whatever is queued here belongs to a request in flight, so the client's limit on those bounds it.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import * as wire from '../wire.ts';
import { ETIMEDOUT, NbdError } from './error.ts';

/** Where a server listens; `socketPath` wins over `host` and `port`. */
export interface NbdAddress {
  readonly socketPath?: string;
  /** 127.0.0.1 unless given. */
  readonly host?: string;
  /** 10809 unless given. */
  readonly port?: number;
  /** Deadline for connecting and for the handshake; 10 s unless given. */
  readonly timeoutMs?: number;
}

/** Batches up to this many bytes are joined into one buffer, which costs less than a system call with many pieces. */
const MAX_JOINED = 256 * 1024;
export const DEFAULT_TIMEOUT_MS = 10_000;

/** Opens a socket, runs a handshake on it under a deadline, and destroys the socket if that fails. */
export async function openSocket<T>(
  o: NbdAddress,
  handshake: (socket: Socket) => Promise<T>,
): Promise<{ socket: Socket; result: T }> {
  const socket =
    o.socketPath !== undefined
      ? connectSocket({ path: o.socketPath })
      : connectSocket({ host: o.host ?? '127.0.0.1', port: o.port ?? 10809, noDelay: true });
  const deadline = setTimeout(() => {
    socket.destroy(new NbdError(ETIMEDOUT, 'server did not finish the handshake in time'));
  }, o.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  let cause: Error | null = null;
  // The listener stays: an error event that nobody listens for would end the process.
  socket.on('error', (error) => {
    cause = error;
  });
  try {
    return { socket, result: await handshake(socket) };
  } catch (error) {
    socket.destroy();
    throw cause ?? error;
  } finally {
    clearTimeout(deadline);
  }
}

/** Gathers what is sent in one turn of the event loop into one write. */
export class BatchWriter {
  readonly #socket: Socket;
  #batch: Uint8Array[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  push(bytes: Uint8Array): void {
    if (this.#batch.length === 0) process.nextTick(() => this.#flush());
    this.#batch.push(bytes);
  }

  #flush(): void {
    const batch = this.#batch;
    this.#batch = [];
    if (this.#socket.destroyed) return;
    let total = 0;
    for (const bytes of batch) total += bytes.length;
    if (total <= MAX_JOINED) {
      this.#socket.write(batch.length === 1 ? batch[0] : Buffer.concat(batch, total));
      return;
    }
    this.#socket.cork();
    for (const bytes of batch) this.#socket.write(bytes);
    this.#socket.uncork();
  }
}

/** Builds the header of a request. */
export function requestHeader(
  type: number,
  flags: number,
  cookie: number,
  offset: number | bigint,
  length: number,
): Buffer {
  const out = Buffer.allocUnsafe(wire.NBD_REQUEST_BYTES);
  out.writeUInt32BE(wire.NBD_REQUEST_MAGIC, 0);
  out.writeUInt16BE(flags, 4);
  out.writeUInt16BE(type, 6);
  out.writeUInt32BE(Math.floor(cookie / 0x1_0000_0000), 8);
  out.writeUInt32BE(cookie >>> 0, 12);
  if (typeof offset === 'number') {
    out.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), 16);
    out.writeUInt32BE(offset % 0x1_0000_0000, 20);
  } else {
    out.writeBigUInt64BE(offset, 16);
  }
  out.writeUInt32BE(length, 24);
  return out;
}
