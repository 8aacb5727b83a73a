/**
 * The sockets that clients connect to. The main thread accepts and hands each socket to the lane with the fewest
 * connections; it reads no byte of it, closes its own descriptor and never shuts the connection down.
 *
 * Each listener has a cap of its own (listen.maxConnections) and takes nothing from another's: whoever may use one, and
 * any local user may use a loopback port, can fill that one alone.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Config } from '../config/schema.ts';
import { EXIT, ExitError, errorText, named } from '../os/exit_error.ts';
import { checkInherited, inheritedPath, inheritedSockets, LISTEN_FDS_START } from '../os/inherited_sockets.ts';
import { dup, keepAlive } from '../os/syscalls.ts';
import { listenUnix } from '../os/unix_socket.ts';
import type { MarkersWritten } from './images.ts';
import { Refusals } from './refusals.ts';
import type { LaneHandle } from './threads.ts';

const BACKLOG = 128;

/**
 * When a TCP peer that is silent is asked whether it is still there, in seconds, and how often: one that vanished is given
 * up after 15 minutes. The kernel waits as long for an answer to data that it sent (tcp_retries2), and a guest that is
 * paused for a while must find its swap again.
 */
const KEEP_ALIVE = { idle: 300, interval: 60, count: 10 } as const;

export interface Listeners {
  /** One line per export and socket: `nbd+unix:///NAME?socket=PATH` or `nbd://HOST:PORT/NAME`. */
  readonly uris: readonly string[];
  /** Lets clients in. Until then accepted sockets wait: the markers must be on disk before anybody can write. */
  admit(markers: MarkersWritten): void;
  /** Stops accepting. */
  close(): void;
}

interface ListenOptions {
  readonly config: Config;
  readonly lanes: readonly LaneHandle[];
  readonly onError: (line: string) => void;
}

/** One listening socket. */
interface Listener {
  readonly server: Server;
  /** Of this listener, in LaneHandle.connections. */
  readonly index: number;
  readonly refusals: Refusals;
  /** Accepted before admit(), at most as many as may be connected. */
  readonly waiting: Socket[];
  path: string | null;
}

export async function listen(o: ListenOptions): Promise<Listeners> {
  const { config } = o;
  const { unix, unixMode, unixGroup, tcp } = config.listen;
  const listeners: Listener[] = [];
  const door = { open: false };
  const add = (name: string): Listener => {
    const listener = newListener(o, name, listeners.length, door);
    listeners.push(listener);
    return listener;
  };
  const inherited = inheritedSockets(process.env);
  try {
    for (let fd = LISTEN_FDS_START; fd < LISTEN_FDS_START + inherited; fd++) {
      const what = `LISTEN_FDS socket ${fd}`;
      checkInherited(fd);
      const listener = add(what);
      await listening(listener.server, { fd }, what);
      // Of a unix socket that was given to it, Node does not know the path.
      if (listener.server.address() === null) listener.path = inheritedPath(fd);
    }
    if (inherited === 0 && unix !== null) {
      const mode = Number.parseInt(unixMode, 8);
      const { server } = add('listen.unix');
      await named('listen.unix', listenUnix(server, unix, { backlog: BACKLOG, mode, group: unixGroup }));
    }
    if (inherited === 0 && tcp !== null) {
      const { host, port } = tcp;
      await listening(add('listen.tcp').server, { host, port, backlog: BACKLOG }, `listen.tcp: ${host}:${port}`);
    }
  } catch (error) {
    for (const { server } of listeners) server.close();
    throw error;
  }
  for (const { server, refusals } of listeners) server.on('error', (error) => refusals.add(error.message));
  return {
    uris: listeners.flatMap(({ server, path }) =>
      config.exports.map((one) => uriOf(path ?? server.address(), one.name)),
    ),
    admit(_markers) {
      door.open = true;
      for (const listener of listeners) for (const socket of listener.waiting.splice(0)) handOver(o, listener, socket);
    },
    close() {
      for (const { server, refusals, waiting } of listeners) {
        server.close();
        for (const socket of waiting.splice(0)) socket.destroy();
        refusals.close();
      }
    },
  };
}

function newListener(o: ListenOptions, name: string, index: number, door: { readonly open: boolean }): Listener {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (door.open) handOver(o, listener, socket);
    else if (listener.waiting.length < o.config.listen.maxConnections) listener.waiting.push(socket);
    else refuse(o, listener, socket);
  });
  const listener: Listener = { server, index, refusals: new Refusals(name, o.onError), waiting: [], path: null };
  return listener;
}

function handOver(o: ListenOptions, listener: Listener, socket: Socket): void {
  const { index, refusals } = listener;
  const open = o.lanes.reduce((sum, { connections }) => sum + connections[index], 0);
  const fd = descriptorOf(socket);
  if (open >= o.config.listen.maxConnections && fd >= 0) {
    refuse(o, listener, socket);
    return;
  }
  const copy = fd < 0 ? fd : dup(fd);
  const isTcp = socket.remoteFamily !== undefined;
  // Closing our descriptor does not end the connection: the copy is the same open socket.
  socket.destroy();
  // The client has gone already.
  if (fd < 0) return;
  if (copy < 0) {
    refusals.add(`no descriptor left (errno ${-copy})`);
    return;
  }
  const failed = isTcp ? keepAlive(copy, KEEP_ALIVE) : 0;
  if (failed < 0) o.onError(`no keep-alive for a TCP connection (errno ${-failed})`);
  const lane = o.lanes.reduce((best, other) => (total(other) < total(best) ? other : best));
  lane.connections[index]++;
  lane.send({ type: 'socket', fd: copy, listener: index });
}

function refuse(o: ListenOptions, { refusals }: Listener, socket: Socket): void {
  socket.destroy();
  refusals.add(`listen.maxConnections (${o.config.listen.maxConnections}) are open`);
}

function total(lane: LaneHandle): number {
  return lane.connections.reduce((sum, count) => sum + count, 0);
}

/** The descriptor under a socket. Node keeps it behind an undocumented property that is stable since version 0.x. */
function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { _handle: { fd: number } | null })._handle;
  return handle === null ? -1 : handle.fd;
}

function listening(server: Server, where: object, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(new ExitError(EXIT.usage, `${what}: can't listen: ${errorText(error)}`, { cause: error }));
    server.once('error', fail);
    server.listen(where, () => {
      server.removeListener('error', fail);
      resolve();
    });
  });
}

function uriOf(address: AddressInfo | string | null, name: string): string {
  const path = encodeURIComponent(name);
  if (address === null) throw new Error('the server does not listen');
  if (typeof address === 'string') {
    return `nbd+unix:///${path}?socket=${address.split('/').map(encodeURIComponent).join('/')}`;
  }
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `nbd://${host}:${address.port}/${path}`;
}
