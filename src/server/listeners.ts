/**
 * The sockets that clients connect to. The main thread accepts and hands each socket to the lane with the fewest
 * connections; it reads no byte of it, closes its own descriptor and never shuts the connection down.
 *
 * Each listener has a cap of its own (listen.maxConnections) and takes nothing from another's: whoever may use one, and
 * any local user may use a loopback port, can fill that one alone. So many may be connected to exports, and as many again may
 * be in their handshake.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Config } from '../config/schema.ts';
import { EXIT, ExitError, errorText, named } from '../os/exit_error.ts';
import { checkInherited, inheritedPath, inheritedSockets, LISTEN_FDS_START } from '../os/inherited_sockets.ts';
import { dup, keepAlive } from '../os/syscalls.ts';
import { listenUnix } from '../os/unix_socket.ts';
import { Handshakes } from './handshakes.ts';
import type { MarkersWritten } from './images.ts';
import type { FromLane } from './messages.ts';
import { anyPlace, type Places } from './places.ts';
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
  /** Is told what the lanes say of their connections. */
  heard(message: FromLane): void;
  /** Lets clients in. Until then accepted sockets wait: the markers must be on disk before anybody can write. */
  admit(markers: MarkersWritten): void;
  /** Stops accepting. */
  close(): void;
}

interface ListenOptions {
  readonly config: Config;
  readonly lanes: readonly LaneHandle[];
  readonly places: Places;
  readonly onError: (line: string) => void;
}

/** What the listeners share. */
interface Door {
  /** Clients are let in. */
  open: boolean;
  /** So far: their numbers. */
  connections: number;
}

/** One listening socket. */
interface Listener {
  readonly server: Server;
  /** Of this listener, in Places. */
  readonly index: number;
  readonly handshakes: Handshakes;
  readonly refusals: Refusals;
  /** Accepted before admit(), at most as many as may be connected. */
  readonly waiting: Socket[];
  path: string | null;
}

export async function listen(o: ListenOptions): Promise<Listeners> {
  const { config } = o;
  const { unix, unixMode, unixGroup, tcp } = config.listen;
  const listeners: Listener[] = [];
  const door: Door = { open: false, connections: 0 };
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
  const crowded = config.exports.map(({ name }) => new Refusals(`export ${name}`, o.onError));
  const reason = noPlace(config, o.places);
  for (const { server, refusals } of listeners) server.on('error', (error) => refusals.add(error.message));
  return {
    uris: listeners.flatMap(({ server, path }) =>
      config.exports.map((one) => uriOf(path ?? server.address(), one.name)),
    ),
    heard(message) {
      if (message.type === 'crowded') crowded[message.x].add(reason);
      else if (message.type === 'chosen' || message.type === 'ended') {
        listeners[message.listener].handshakes.over(message.connection);
      }
    },
    admit(_markers) {
      door.open = true;
      for (const listener of listeners)
        for (const socket of listener.waiting.splice(0)) handOver(o, door, listener, socket);
    },
    close() {
      for (const { server, refusals, waiting } of listeners) {
        server.close();
        for (const socket of waiting.splice(0)) socket.destroy();
        refusals.close();
      }
      for (const refusals of crowded) refusals.close();
    },
  };
}

/** Why a client of an export is turned away by its lane. */
function noPlace({ listen, exports }: Config, { shares: [{ own }] }: Places): string {
  const rest = listen.maxConnections - own * exports.length;
  return `it has its ${own} places over this listener, and the ${rest} for whoever comes first are taken`;
}

function newListener(o: ListenOptions, name: string, index: number, door: Door): Listener {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (door.open) handOver(o, door, listener, socket);
    else if (listener.waiting.length < o.config.listen.maxConnections) listener.waiting.push(socket);
    else refuse(o, listener, socket);
  });
  const handshakes = new Handshakes(o.config.listen.maxConnections);
  const refusals = new Refusals(name, o.onError);
  const listener: Listener = { server, index, handshakes, refusals, waiting: [], path: null };
  return listener;
}

function handOver(o: ListenOptions, door: Door, listener: Listener, socket: Socket): void {
  const { index, refusals, handshakes } = listener;
  const fd = descriptorOf(socket);
  if (fd >= 0 && !anyPlace(o.places, index)) {
    refuse(o, listener, socket);
    return;
  }
  if (fd >= 0 && !handshakes.makeRoom()) {
    refuse(o, listener, socket, ' in their handshake');
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
  const lane = o.lanes.reduce((best, other) => (other.connections < best.connections ? other : best));
  lane.connections++;
  const connection = ++door.connections;
  handshakes.began(connection, () => {
    refusals.add('it was in its handshake when others wanted to be, and the oldest of them');
    lane.send({ type: 'drop', connection });
  });
  lane.send({ type: 'socket', fd: copy, listener: index, connection });
}

function refuse(o: ListenOptions, { refusals }: Listener, socket: Socket, doing = ''): void {
  socket.destroy();
  refusals.add(`listen.maxConnections (${o.config.listen.maxConnections}) are open${doing}`);
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
