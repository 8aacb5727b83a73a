/**
 * The sockets that clients connect to. The main thread accepts and hands each socket to the lane with the fewest
 * connections; it reads no byte of it, closes its own descriptor and never shuts the connection down.
 */
import { fstatSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { dup } from '../os/syscalls.ts';
import type { Config } from './config/schema.ts';
import { EXIT, ExitError, errorText } from './exit_error.ts';
import type { LaneHandle } from './threads.ts';
import { listenUnix } from './unix_socket.ts';

/** First descriptor of the LISTEN_FDS protocol of systemd. */
const LISTEN_FDS_START = 3;
const BACKLOG = 128;

export interface Listeners {
  /** One line per export and socket: `nbd+unix:///NAME?socket=PATH` or `nbd://HOST:PORT/NAME`. */
  readonly uris: readonly string[];
  /** Lets clients in. Until then accepted sockets wait: the markers must be on disk before anybody can write. */
  admit(): void;
  /** Stops accepting. */
  close(): void;
}

/** Where accepted sockets go; before admit() they are kept, at most as many as may be connected. */
interface Door {
  open: boolean;
  readonly waiting: Socket[];
}

export interface ListenOptions {
  readonly config: Config;
  readonly lanes: readonly LaneHandle[];
  readonly onError: (line: string) => void;
}

export async function listen(o: ListenOptions): Promise<Listeners> {
  const { config } = o;
  const door: Door = { open: false, waiting: [] };
  const servers: { server: Server; where: (name: string) => string }[] = [];
  const inherited = inheritedSockets(process.env);
  try {
    if (inherited > 0) {
      for (let i = 0; i < inherited; i++) {
        const server = accepting(o, door);
        const fd = LISTEN_FDS_START + i;
        await listening(server, { fd }, `LISTEN_FDS socket ${fd}`);
        // Of a unix socket that was given to it, Node does not know the path.
        const address = server.address() ?? inheritedPath(fd);
        servers.push({ server, where: (name) => uriOf(address, name) });
      }
    } else {
      if (config.listen.unix !== null) {
        const server = accepting(o, door);
        await listenUnix(server, config.listen.unix, BACKLOG);
        servers.push({ server, where: (name) => uriOf(server.address(), name) });
      }
      if (config.listen.tcp !== null) {
        const server = accepting(o, door);
        const { host, port } = config.listen.tcp;
        await listening(server, { host, port, backlog: BACKLOG }, `listen.tcp: ${host}:${port}`);
        servers.push({ server, where: (name) => uriOf(server.address(), name) });
      }
    }
  } catch (error) {
    for (const { server } of servers) server.close();
    throw error;
  }
  for (const { server } of servers) server.on('error', (error) => o.onError(`accept failed: ${error.message}`));
  return {
    uris: servers.flatMap(({ where }) => config.exports.map((one) => where(one.name))),
    admit() {
      door.open = true;
      for (const socket of door.waiting.splice(0)) handOver(o, socket);
    },
    close() {
      for (const { server } of servers) server.close();
      for (const socket of door.waiting.splice(0)) socket.destroy();
    },
  };
}

/** How many sockets were inherited for this process, by LISTEN_PID and LISTEN_FDS. */
function inheritedSockets(environment: NodeJS.ProcessEnv): number {
  if (environment.LISTEN_FDS === undefined) return 0;
  if (environment.LISTEN_PID !== undefined && Number(environment.LISTEN_PID) !== process.pid) return 0;
  const count = Number(environment.LISTEN_FDS);
  if (!Number.isInteger(count) || count < 1 || count > 64) {
    throw new ExitError(
      EXIT.usage,
      `LISTEN_FDS: ${environment.LISTEN_FDS} is not a number of sockets, allowed: 1 to 64`,
    );
  }
  return count;
}

/** The path that an inherited unix socket is bound to, by its inode in the kernel's table. */
function inheritedPath(fd: number): string {
  const inode = fstatSync(fd).ino;
  for (const line of readFileSync('/proc/net/unix', 'utf8').split('\n')) {
    const [, found, path] = /^(?:\S+\s+){6}(\d+) (\/.*)$/.exec(line) ?? [];
    if (path !== undefined && Number(found) === inode) return path;
  }
  throw new ExitError(
    EXIT.usage,
    `LISTEN_FDS socket ${fd}: has no absolute path, allowed: TCP, or a unix socket with one`,
  );
}

function accepting(o: ListenOptions, door: Door): Server {
  return createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    if (door.open) handOver(o, socket);
    else if (door.waiting.length < o.config.listen.maxConnections) door.waiting.push(socket);
    else socket.destroy();
  });
}

function handOver(o: ListenOptions, socket: Socket): void {
  const total = o.lanes.reduce((sum, lane) => sum + lane.connections, 0);
  const fd = descriptorOf(socket);
  if (total >= o.config.listen.maxConnections || fd < 0) {
    socket.destroy();
    if (fd >= 0) o.onError(`connection refused: listen.maxConnections (${o.config.listen.maxConnections}) are open`);
    return;
  }
  const copy = dup(fd);
  // Closing our descriptor does not end the connection: the copy is the same open socket.
  socket.destroy();
  if (copy < 0) {
    o.onError(`connection refused: no descriptor left (errno ${-copy})`);
    return;
  }
  const lane = o.lanes.reduce((best, other) => (other.connections < best.connections ? other : best));
  lane.connections++;
  lane.send({ type: 'socket', fd: copy });
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
