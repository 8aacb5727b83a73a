/**
 * A small server for programs that serve devices from their own event loop: listens, caps connections, stops cleanly.
 *
 * A program that spreads connections over threads needs none of this: it hands descriptors to `Connection` itself.
 */
import { once } from 'node:events';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { checkExports, type ExportInfo } from '../export_info.ts';
import { Connection } from './connection.ts';
import { type ConnectionCounters, connectionCounters } from './counters.ts';
import type { Device } from './device.ts';

/** Connections at one time unless another cap is given; further ones are closed at once. */
export const MAX_CONNECTIONS = 100;

export interface NbdServerOptions {
  readonly devices: readonly Device[];
  readonly maxConnections?: number;
  readonly handshakeTimeoutMs?: number;
  /** Whether NBD_OPT_LIST may show the exports; yes unless set to false. */
  readonly listing?: boolean;
}

export class NbdServer {
  readonly counters: ConnectionCounters = connectionCounters();
  /** Connections that were refused because of the cap. */
  refused = 0;

  readonly #o: NbdServerOptions;
  readonly #exports: readonly ExportInfo[];
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #stopping = false;
  #whenEmpty: (() => void) | null = null;

  /** Throws RangeError if the devices' exports are not such as the protocol can carry. */
  constructor(o: NbdServerOptions) {
    this.#o = o;
    this.#exports = o.devices.map((device) => device.info);
    checkExports(this.#exports);
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Listens as `net.Server` does: `{ path }` or `{ host, port }`. Rejects if that fails. */
  async listen(where: ListenOptions): Promise<void> {
    this.#server.listen(where);
    await once(this.#server, 'listening');
  }

  /** The port of a TCP socket, which the system has chosen if 0 was asked for; 0 for a unix socket. */
  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  }

  /** Accepts no more, lets running requests finish, closes all connections; after `graceMs` those left are cut. */
  async close(graceMs = 5000): Promise<void> {
    this.#stopping = true;
    this.#server.close();
    for (const connection of this.#connections) connection.stop();
    if (this.#connections.size === 0) return;
    const cutter = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
    });
    clearTimeout(cutter);
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= (this.#o.maxConnections ?? MAX_CONNECTIONS)) {
      this.refused++;
      socket.destroy();
      return;
    }
    const { handshakeTimeoutMs, listing } = this.#o;
    const connection: Connection = new Connection({
      socket,
      exports: this.#exports,
      device: (info) => this.#o.devices[this.#exports.indexOf(info)],
      // Plain Node has no way to ask whether a peer is gone while its data is unread.
      fence: null,
      stopping: () => this.#stopping,
      counters: this.counters,
      onEnd: () => this.#ended(connection),
      ...(handshakeTimeoutMs === undefined ? {} : { handshakeTimeoutMs }),
      ...(listing === undefined ? {} : { listing }),
    });
    this.#connections.add(connection);
  }

  #ended(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }
}
