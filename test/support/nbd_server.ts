/** Serves devices on a unix socket, or over TCP, for the time of one test, with the fence of the daemon, and connects clients. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  Connection,
  type ConnectionCounters,
  type ConnectionFence,
  connectionCounters,
  type Device,
  NbdClient,
  type NbdClientOptions,
  type ReplyMishaps,
} from 'node-nbd-server';
import type { Test } from 'tap';
import { dup, peek, peerClosed, receive } from '#src/os/syscalls.js';
import { tempFolder } from './tmp.ts';

export interface Served {
  readonly socketPath: string;
  /** The path, or the port with `tcp`. */
  readonly where: string | number;
  readonly counters: ConnectionCounters;
  readonly connections: Connection[];
  /** The descriptor of each connection, also when it is closed. */
  readonly fds: number[];
  /** Connections that have ended so far. */
  readonly ends: number;
  /** Resolves when `n` connections have ended. */
  ended(n: number): Promise<void>;
  connect(o?: NbdClientOptions): Promise<NbdClient>;
}

export interface ServeOptions {
  readonly fence?: (real: ConnectionFence) => ConnectionFence;
  readonly handshakeTimeoutMs?: number;
  readonly stopTimeoutMs?: number;
  readonly hangsUp?: boolean;
  readonly tcp?: boolean;
  readonly device?: () => Device;
  readonly mishaps?: ReplyMishaps;
}

function fenceOf(fd: number): ConnectionFence {
  return {
    peerClosed: () => peerClosed(fd),
    peek: (into: Uint8Array) => peek(fd, into),
    receive: (into: Uint8Array) => receive(fd, into),
  };
}

/**
 * Each connection gets a descriptor of its own, as in the daemon. Its fence may be replaced.
 */
export async function serve(t: Test, device: Device, o: ServeOptions = {}): Promise<Served> {
  const socketPath = join(tempFolder(t), 'nbd.sock');
  const counters = connectionCounters();
  const connections: Connection[] = [];
  const fds: number[] = [];
  let ended = 0;
  let notify = (): void => undefined;
  const server = createServer({ pauseOnConnect: true }, (socket: Socket) => {
    const fd = dup((socket as unknown as { _handle: { fd: number } })._handle.fd);
    socket.destroy();
    fds.push(fd);
    const fence = fenceOf(fd);
    const connection = new Connection({
      fd,
      exports: [device.info],
      device: o.device ?? (() => device),
      fence: o.fence?.(fence) ?? fence,
      counters,
      onEnd: () => {
        ended++;
        notify();
      },
      ...(o.handshakeTimeoutMs === undefined ? {} : { handshakeTimeoutMs: o.handshakeTimeoutMs }),
      ...(o.hangsUp === undefined ? {} : { hangsUp: o.hangsUp }),
      ...(o.mishaps === undefined ? {} : { mishaps: o.mishaps }),
      ...(o.stopTimeoutMs === undefined ? {} : { stopTimeoutMs: o.stopTimeoutMs }),
    });
    connections.push(connection);
  });
  server.listen(o.tcp === true ? { host: '127.0.0.1', port: 0 } : { path: socketPath });
  await once(server, 'listening');
  const address = server.address();
  const where = address !== null && typeof address === 'object' ? { port: address.port } : { socketPath };
  const clients: NbdClient[] = [];
  t.teardown(() => {
    for (const client of clients) client.destroy();
    for (const connection of connections) connection.destroy();
    server.close();
  });
  return {
    socketPath,
    where: 'port' in where ? where.port : socketPath,
    counters,
    connections,
    fds,
    get ends() {
      return ended;
    },
    async ended(n) {
      while (ended < n) {
        await new Promise<void>((resolve) => {
          notify = resolve;
        });
      }
    },
    async connect(options = {}) {
      const client = await NbdClient.connect({ ...where, baseAllocation: true, ...options });
      clients.push(client);
      return client;
    },
  };
}

/** Waits, turn by turn, for a condition that other callbacks of this process bring about. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
