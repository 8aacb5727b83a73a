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
import { listenUnix } from '../os/unix_socket.ts';
import { HandOver } from './hand_over.ts';
import { Handshakes } from './handshakes.ts';
import type { MarkersWritten } from './images.ts';
import type { FromLane } from './messages.ts';
import { anyPlace, type Places } from './places.ts';
import { Refusals } from './refusals.ts';
import type { LaneHandle } from './threads.ts';

/** Clients that wait at a socket until they are accepted. */
export const BACKLOG = 128;

/** Why a connection ended that had chosen no export. */
const OLDEST = 'its handshake was the oldest of listen.maxConnections, and made room';

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

/** One listening socket. */
interface Listener {
  readonly server: Server;
  /** Of this listener, in Places. */
  readonly index: number;
  readonly handshakes: Handshakes;
  readonly refusals: Refusals;
  path: string | null;
}

export async function listen(o: ListenOptions): Promise<Listeners> {
  const { config } = o;
  const { unix, unixMode, unixGroup, tcp } = config.listen;
  const listeners: Listener[] = [];
  const door = new HandOver(o.lanes, o.onError);
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
      const warn = (line: string): void => o.onError(`listen.unix: ${line}`);
      await named('listen.unix', listenUnix(server, unix, { backlog: BACKLOG, mode, group: unixGroup, warn }));
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
      else if (message.type === 'greeted') door.next();
      else if (message.type === 'chosen' || message.type === 'ended') {
        const { handshakes, refusals } = listeners[message.listener];
        // One that has chosen in time is served.
        if (handshakes.over(message.connection) && message.type === 'ended') refusals.add(OLDEST);
      }
    },
    admit: (_markers) => door.admit(),
    close() {
      for (const { server, refusals } of listeners) {
        server.close();
        refusals.close();
      }
      door.close(inherited > 0);
      for (const refusals of crowded) refusals.close();
    },
  };
}

/** Why a client of an export is turned away by its lane. */
function noPlace({ listen, exports }: Config, { shares: [{ own }] }: Places): string {
  if (exports.length === 1) return `listen.maxConnections (${listen.maxConnections}) are open`;
  const rest = listen.maxConnections - own * exports.length;
  return `what it has for itself of listen.maxConnections (${own}), and what is for whoever comes first (${rest}), is taken`;
}

function newListener(o: ListenOptions, name: string, index: number, door: HandOver): Listener {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    letIn(o, door, listener, socket);
  });
  const handshakes = new Handshakes(o.config.listen.maxConnections);
  const refusals = new Refusals(name, o.onError);
  const listener: Listener = { server, index, handshakes, refusals, path: null };
  return listener;
}

/** Why a listener takes on nobody more, or null; then there is room for a handshake. */
function noRoom(o: ListenOptions, { index, handshakes }: Listener): string | null {
  const full = `listen.maxConnections (${o.config.listen.maxConnections}) are open`;
  if (!anyPlace(o.places, index)) return full;
  return handshakes.makeRoom() ? null : `${full} in their handshake`;
}

function letIn(o: ListenOptions, door: HandOver, listener: Listener, socket: Socket): void {
  const { index, handshakes, refusals } = listener;
  const why = noRoom(o, listener);
  if (why !== null) {
    socket.destroy();
    refusals.add(why);
    return;
  }
  const connection = door.newNumber();
  handshakes.began(connection, () => door.drop(connection));
  const gone = (reason: string | null): void => {
    const said = handshakes.over(connection) ? OLDEST : reason;
    if (said !== null) refusals.add(said);
  };
  door.give({ socket, listener: index, connection, gone });
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
