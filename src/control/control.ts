// The control plane: HTTP and JSON on a unix socket, for `zswapd stats` and for monitoring.
// Invariant: bounded in connections, header, body and time, so that a client here can't hurt those who swap.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listenUnix } from '../os/unix_socket.ts';
import { CONTROL_CONNECTIONS } from './limits.ts';

const MAX_HEADER_BYTES = 8 * 1024;
/** No route takes a body so far; a small one is read and dropped, because some clients always send one. */
const MAX_BODY_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 5000;

export interface ControlOptions {
  /** Path of the unix socket. */
  listen: string;
  /** Answer of GET /stats; called per request, on the main thread. */
  stats(): object;
  /** Answer of GET /check. */
  check?(): Promise<object>;
  /** POST /swapoff?export=NAME&force&keep, or force=1, and POST /swapon?export=NAME. A ControlError is the client's answer. */
  swapoff?(name: string, flags: { force: boolean; keep: boolean }): Promise<object>;
  swapon?(name: string): object;
  /** How long a client may take for its request, and a GET for its answer, in milliseconds; 5 s unless given. */
  timeoutMs?: number;
  /** Told of a route that threw, when the client gets a 500, and of a failed accept. */
  onError?(error: unknown): void;
}

export interface Control {
  close(): Promise<void>;
}

interface Route {
  method: string;
  answer(query: URLSearchParams): object | Promise<object>;
}

/** What the client did wrong, with the status of the answer. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Listens, or throws an ExitError with exit code 2 where the socket can't be had. */
export async function startControl(options: ControlOptions): Promise<Control> {
  const routes = makeRoutes(options);
  const timeout = options.timeoutMs ?? REQUEST_TIMEOUT_MS;
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: timeout,
      requestTimeout: timeout,
      keepAliveTimeout: timeout,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      drainBody(request, response, () => void route(routes, request, response, options));
    },
  );
  server.maxConnections = CONTROL_CONNECTIONS;
  // A client that reads nothing would otherwise hold its answer for ever.
  server.setTimeout(timeout);
  await listenUnix(server, options.listen, { backlog: CONTROL_CONNECTIONS });
  // An accept that fails, for want of descriptors say, ends nothing: the socket listens on.
  server.on('error', (error) => options.onError?.(error));
  return {
    close() {
      return new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      });
    },
  };
}

function makeRoutes(options: ControlOptions): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>([['/stats', { method: 'GET', answer: () => options.stats() }]]);
  const name = (query: URLSearchParams): string => {
    const value = query.get('export');
    if (value === null) throw new ControlError(400, 'export is missing, allowed: ?export=NAME');
    return value;
  };
  const { check, swapoff, swapon } = options;
  if (check !== undefined) routes.set('/check', { method: 'GET', answer: () => check() });
  const knows = (query: URLSearchParams, ...names: string[]): void => {
    const unknown = [...query.keys()].find((key) => !names.includes(key));
    if (unknown !== undefined) throw new ControlError(400, `${unknown} is unknown, allowed: ${names.join(', ')}`);
    const twice = names.find((key) => query.getAll(key).length > 1);
    if (twice !== undefined) throw new ControlError(400, `${twice} is there twice, allowed: once`);
  };
  if (swapoff !== undefined) {
    const answer = (query: URLSearchParams): Promise<object> => {
      knows(query, 'export', 'force', 'keep');
      return swapoff(name(query), { force: flag(query, 'force'), keep: flag(query, 'keep') });
    };
    routes.set('/swapoff', { method: 'POST', answer });
  }
  if (swapon !== undefined) {
    const answer = (query: URLSearchParams): object => {
      knows(query, 'export');
      return swapon(name(query));
    };
    routes.set('/swapon', { method: 'POST', answer });
  }
  return routes;
}

/** Without a value, or 1; who says force=false must not get the opposite. */
function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  if (value !== null && value !== '' && value !== '1') {
    throw new ControlError(400, `${name} is ${JSON.stringify(value)}, allowed: ${name} or ${name}=1, or leave it out`);
  }
  return value !== null;
}

function drainBody(request: IncomingMessage, response: ServerResponse, done: () => void): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES || response.headersSent) return;
    request.pause();
    response.setHeader('connection', 'close');
    send(response, 413, { error: `the body has more than ${MAX_BODY_BYTES} bytes` });
    response.once('finish', () => request.destroy());
  });
  request.on('end', done);
}

async function route(
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
  options: ControlOptions,
): Promise<void> {
  const [path, query] = (request.url ?? '/').split('?', 2);
  const found = routes.get(path);
  if (found === undefined) {
    send(response, 404, { error: `no route ${path}`, routes: [...routes.keys()] });
    return;
  }
  if (request.method !== found.method) {
    response.setHeader('allow', found.method);
    send(response, 405, { error: `${path} takes ${found.method}` });
    return;
  }
  // A verb may take as long as its image does; the client waits, and closes when it has had enough.
  if (found.method === 'POST') request.socket.setTimeout(0);
  try {
    send(response, 200, await found.answer(new URLSearchParams(query ?? '')));
  } catch (error) {
    if (error instanceof ControlError) {
      send(response, error.status, { error: error.message });
      return;
    }
    options.onError?.(error);
    send(response, 500, { error: 'internal fault, see the log of the server' });
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
