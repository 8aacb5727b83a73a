/**
 * A server for programs that serve devices from their own event loop: listens, caps connections, stops cleanly.
 *
 * A program that spreads connections over threads needs none of this: it hands descriptors to `Connection` itself.
 */
import { type AddressInfo, createServer, type ListenOptions, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { checkMs } from '../complaints.ts';
import { checkExports, type ExportInfo } from '../export_info.ts';
import { ByteAdapter } from './byte_adapter.ts';
import type { ByteDevice } from './byte_device.ts';
import { tell } from './byte_errors.ts';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection_options.ts';
import { type ConnectionCounters, connectionCounters } from './counters.ts';
import type { Device } from './device.ts';
import { checkDevice, isByBlocks } from './device_check.ts';
import { LookAhead } from './look_ahead.ts';
import { checkAddress, checkServerOptions, checkStream } from './server_options.ts';
import { Standstill } from './standstill.ts';

/** Connections at one time unless another cap is given; further ones are closed at once, unless one has stood still. */
export const MAX_CONNECTIONS = 100;
/** How long `close` lets running requests finish unless it is told otherwise. */
const GRACE_MS = 5000;
/** For how long a connection may stand still before a newcomer may have its place, unless another time is given. */
const STANDSTILL_MS = 30_000;
/** `onError` is told so often that there was no place for somebody, whoever keeps connecting. */
const TELL_MS = 60_000;

/** A unix socket by its path, a TCP port of this machine by its number, or anything that `net.Server` listens on. */
export type Address = string | number | ListenOptions;

export interface ServerOptions {
  readonly maxConnections?: number;
  readonly handshakeTimeoutMs?: number;
  /**
   * When all places are taken, a newcomer gets that of a connection with requests of which nothing has moved for so long,
   * counted from the first newcomer that found none: 30 s.
   */
  readonly standstillMs?: number;
  /** Whether NBD_OPT_LIST may show the exports; yes unless set to false. */
  readonly listing?: boolean;
  /**
   * Is told what a ByteDevice threw or rejected with, whose client gets an error number in any case, and why a connection
   * could not be accepted: when all places are taken at once, and then at most once a minute, with how many found none. What it
   * throws itself is an uncaught exception, after the client has its answer.
   */
  readonly onError?: (error: unknown) => void;
}

export interface NbdServerOptions extends ServerOptions {
  /** At least one. The first is the one that a client gets who names none. */
  readonly devices: readonly (Device | ByteDevice)[];
}

/** Streams that a server of this process has been given. */
const served = new WeakSet<Duplex>();

export class NbdServer {
  readonly counters: ConnectionCounters = connectionCounters();
  /** Connections that were refused: because of the cap, because the server was closed, or for want of descriptors. */
  refused = 0;

  readonly #o: NbdServerOptions;
  readonly #exports: readonly ExportInfo[];
  readonly #devices: ReadonlyMap<ExportInfo, Device>;
  readonly #servers = new Set<Server>();
  readonly #connections = new Set<Connection>();
  /** Those that had to make room, and whose device has not answered yet: at most as many as there are places. */
  readonly #ousted = new Set<Connection>();
  readonly #places: number;
  readonly #standstill: Standstill;
  /** Who found no place and was not told of, and when somebody was. */
  #untold = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  #closed: Promise<void> | null = null;
  #whenEmpty: (() => void) | null = null;

  /** Throws TypeError or RangeError, which name what is wrong: no device, or what the protocol cannot carry. */
  constructor(o: NbdServerOptions) {
    checkServerOptions(o);
    this.#o = o;
    this.#places = o.maxConnections ?? MAX_CONNECTIONS;
    this.#standstill = new Standstill(o.standstillMs ?? STANDSTILL_MS);
    const devices = o.devices.map((device) =>
      isByBlocks(device) ? device : new ByteAdapter(device, (e) => o.onError?.(e)),
    );
    this.#exports = devices.map(({ info }) => info);
    checkExports(this.#exports);
    for (const device of devices) checkDevice(device);
    this.#devices = new Map(devices.map((device) => [device.info, device]));
  }

  /** Connections whose socket is open, or whose device has not answered yet. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Listens on one more address. Rejects if that fails, or if the server is closed before it does. */
  async listen(where: Address): Promise<void> {
    checkAddress(where);
    if (this.#closed !== null) throw new Error('the server is closed, and listens no more');
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => this.#accept({ socket }));
    this.#servers.add(server);
    try {
      await this.#listening(server, where);
    } catch (error) {
      this.#servers.delete(server);
      server.close();
      throw error;
    }
    // Such as no descriptor left to accept with: the client is gone, and the server goes on.
    server.on('error', (error) => {
      this.refused++;
      this.#o.onError?.(error);
    });
  }

  #listening(server: Server, where: Address): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error('the server was closed before it listened'));
      server.once('error', reject);
      server.once('close', late);
      server.once('listening', () => {
        server.off('error', reject);
        server.off('close', late);
        // Its address may have been looked up meanwhile, and then `close` has come too early for it.
        if (this.#closed === null) {
          resolve();
        } else {
          server.close();
          late();
        }
      });
      server.listen(listenOptions(where));
    });
  }

  /** What it listens on: paths of unix sockets, addresses of TCP ones. */
  get addresses(): (string | AddressInfo)[] {
    return [...this.#servers].flatMap((server) => server.address() ?? []);
  }

  /** The port of the first TCP socket, which the system has chosen if 0 was asked for; 0 without one. */
  get port(): number {
    return this.addresses.find((address) => typeof address === 'object')?.port ?? 0;
  }

  /** Serves one client on a stream that carries bytes both ways: TLS, a pair of pipes. The stream is destroyed at the end. */
  accept(stream: Duplex): void {
    checkStream(stream, served.has(stream));
    served.add(stream);
    this.#accept({ stream });
  }

  /**
   * Accepts no more, lets running requests finish, and closes all connections; after `graceMs` those left are cut, and
   * nobody waits any longer for a device that does not answer: `connections` tells how many it has kept, if it is a `Device`;
   * calls of a ByteDevice are given up, and keep none. A second call changes nothing and resolves with the first; one with
   * a time that is none rejects, and closes nothing.
   */
  close(graceMs = GRACE_MS): Promise<void> {
    try {
      checkMs('graceMs', graceMs);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#closed ??= this.#close(graceMs);
    return this.#closed;
  }

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(graceMs: number): Promise<void> {
    for (const server of this.#servers) server.close();
    this.#servers.clear();
    for (const connection of this.#connections) connection.stop();
    if (this.#connections.size === 0) return;
    let cutter: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
      cutter = setTimeout(() => {
        for (const connection of this.#connections) connection.destroy();
        // By the second turn the sockets have closed, and those devices have answered that heed their signal.
        setImmediate(() => setImmediate(resolve));
      }, graceMs);
    });
    clearTimeout(cutter);
  }

  #accept(from: Pick<ConnectionOptions, 'socket' | 'stream'>): void {
    const closed = this.#closed !== null;
    if (closed || !this.#hasPlace()) {
      this.refused++;
      if (!closed) this.#tellRefused();
      (from.socket ?? from.stream)?.destroy();
      return;
    }
    const { handshakeTimeoutMs, listing } = this.#o;
    // Plain Node has no way to ask whether a peer is gone while its data is unread.
    const ahead = from.socket === undefined ? null : new LookAhead();
    const connection: Connection = new Connection({
      ...from,
      exports: this.#exports,
      device: (info) => this.#devices.get(info)!,
      fence: ahead,
      ...(ahead === null ? {} : { ahead }),
      stopping: () => this.#closed !== null,
      counters: this.counters,
      onEnd: () => this.#ended(connection),
      ...(handshakeTimeoutMs === undefined ? {} : { handshakeTimeoutMs }),
      ...(listing === undefined ? {} : { listing }),
    });
    this.#connections.add(connection);
  }

  /** Whether there is a place for one more, or somebody has just lost his. */
  #hasPlace(): boolean {
    const ousted = this.#ousted;
    if (this.#connections.size - ousted.size < this.#places) return true;
    if (ousted.size >= this.#places) return false;
    const still = this.#standstill.find([...this.#connections].filter((connection) => !ousted.has(connection)));
    if (still === null) return false;
    ousted.add(still);
    still.destroy();
    return true;
  }

  #tellRefused(): void {
    this.#untold++;
    const now = performance.now();
    if (now - this.#toldAt < TELL_MS) return;
    this.#toldAt = now;
    const why = `no place for ${this.#untold} more: all ${this.#places} connections are taken (maxConnections)`;
    this.#untold = 0;
    tell((error) => this.#o.onError?.(error), new Error(why));
  }

  #ended(connection: Connection): void {
    this.#connections.delete(connection);
    this.#ousted.delete(connection);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }
}

/** A bare port is one of this machine only: whoever connects reads and writes everything. */
function listenOptions(where: Address): ListenOptions {
  if (typeof where === 'string') return { path: where };
  return typeof where === 'number' ? { host: '127.0.0.1', port: where } : where;
}
