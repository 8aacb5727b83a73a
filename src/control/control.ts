// The control plane: HTTP on a unix socket, JSON for `zswapd stats` and for monitoring, text for the files of `zswapd ctl`.
// Invariant: bounded in connections, header, body and time, so that a client here can't hurt those who swap.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listenUnix } from '../os/unix_socket.ts';
import { ControlError } from './error.ts';
import { answerFaults, FAULT_METHODS, FAULTS_PATH, type FaultRoutes } from './fault_routes.ts';
import { answerFile, FILE_BODY_BYTES, FILES_PREFIX, isFilePath } from './fs/route.ts';
import type { FileTree } from './fs/tree.ts';
import { CONTROL_CONNECTIONS } from './limits.ts';
import { REQUESTS_PER_CONNECTION, RequestLine } from './line.ts';

/** A path of 4096 bytes, each of them encoded as three, and as much again for the rest. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Of a fault plan, and files take a smaller one; any up to this is read, because some clients always send one. */
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
  /** POST /upgrade. */
  upgrade?(): object;
  /** GET, PUT, POST, DELETE /v1/fs<PATH>. */
  files?: FileTree;
  /** GET, POST, DELETE /v1/faults. */
  faults?: FaultRoutes;
  /** How long a client may take for its request, and a GET for its answer, in milliseconds; 5 s unless given. */
  timeoutMs?: number;
  /** Told of a route that threw, when the client gets a 500, and of a failed accept. */
  onError?(error: unknown): void;
  /** Told what a close could not do. */
  warn?(line: string): void;
}

export interface Control {
  close(): Promise<void>;
}

interface Route {
  method: string;
  answer(query: URLSearchParams): object | Promise<object>;
}

/** Listens, or throws an ExitError with exit code 2 where the socket can't be had. */
export async function startControl(options: ControlOptions): Promise<Control> {
  const routes = makeRoutes(options);
  const timeout = timeoutOf(options);
  const line = new RequestLine();
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: timeout,
      requestTimeout: timeout,
      keepAliveTimeout: timeout,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      readBody(request, response, (body) => {
        if (!line.join(request, response, () => route(routes, request, response, body, options))) refuse(response);
      });
    },
  );
  server.maxConnections = CONTROL_CONNECTIONS;
  // A client that reads nothing would otherwise hold its answer for ever.
  server.setTimeout(timeout);
  await listenUnix(server, options.listen, {
    backlog: CONTROL_CONNECTIONS,
    warn: (line) => options.warn?.(line),
  });
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
  const { check, swapoff, swapon, upgrade } = options;
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
  if (upgrade !== undefined) routes.set('/upgrade', { method: 'POST', answer: () => upgrade() });
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

function refuse(response: ServerResponse): void {
  response.setHeader('connection', 'close');
  send(response, 503, { error: `more than ${REQUESTS_PER_CONNECTION} requests of this connection wait` });
}

/** Reads it to its end, and keeps as much of it as may be sent. */
function readBody(request: IncomingMessage, response: ServerResponse, done: (body: Buffer) => void): void {
  let bytes = 0;
  const kept: Buffer[] = [];
  request.on('data', (chunk: Buffer) => {
    if (bytes < MAX_BODY_BYTES) kept.push(Buffer.from(chunk.subarray(0, MAX_BODY_BYTES - bytes)));
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES || response.headersSent) return;
    request.pause();
    response.setHeader('connection', 'close');
    send(response, 413, { error: `the body has more than ${MAX_BODY_BYTES} bytes` });
    response.once('finish', () => request.destroy());
  });
  request.on('end', () => done(Buffer.concat(kept)));
}

async function route(
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  options: ControlOptions,
): Promise<void> {
  const [path, query] = (request.url ?? '/').split('?', 2);
  const { files, faults } = options;
  if (faults !== undefined && path === FAULTS_PATH) {
    await answer(request, response, options, async () => sendFaults(faults, request, response, query ?? '', body));
    return;
  }
  if (files !== undefined && isFilePath(path)) {
    await answer(request, response, options, async () => {
      const { method = '' } = request;
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const asked = {
        path,
        body: body.subarray(0, FILE_BODY_BYTES),
        query: new URLSearchParams(query ?? ''),
        gone: gone.signal,
      };
      const { status, text, allow } = await answerFile(files, method, asked);
      if (allow !== undefined) response.setHeader('allow', allow);
      sendText(response, status, 'text/plain; charset=utf-8', text);
    });
    return;
  }
  const found = routes.get(path);
  if (found === undefined) {
    const known = [
      ...routes.keys(),
      ...(files === undefined ? [] : [FILES_PREFIX]),
      ...(faults === undefined ? [] : [FAULTS_PATH]),
    ];
    send(response, 404, { error: `no route ${path}`, routes: known });
    return;
  }
  if (request.method !== found.method) {
    response.setHeader('allow', found.method);
    send(response, 405, { error: `${path} takes ${found.method}` });
    return;
  }
  await answer(request, response, options, async () =>
    send(response, 200, await found.answer(new URLSearchParams(query ?? ''))),
  );
}

function sendFaults(
  faults: FaultRoutes,
  { method = '' }: IncomingMessage,
  response: ServerResponse,
  query: string,
  body: Buffer,
): void {
  if (!(FAULT_METHODS as readonly string[]).includes(method)) {
    response.setHeader('allow', FAULT_METHODS.join(', '));
    send(response, 405, { error: `${FAULTS_PATH} takes ${FAULT_METHODS.join(', ')}` });
    return;
  }
  const answered = answerFaults(faults, method, new URLSearchParams(query), body);
  if ('json' in answered) send(response, 200, answered.json);
  else sendText(response, 400, 'text/plain; charset=utf-8', `${answered.refused.join('\n')}\n`);
}

function timeoutOf({ timeoutMs = REQUEST_TIMEOUT_MS }: ControlOptions): number {
  return timeoutMs;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: ControlOptions,
  make: () => Promise<void>,
): Promise<void> {
  // A verb may take as long as its image does, a check as the pool is large; the client closes when it has had enough.
  request.socket.setTimeout(0);
  try {
    await make();
  } catch (error) {
    if (error instanceof ControlError) {
      send(response, error.status, { error: error.message });
    } else {
      options.onError?.(error);
      send(response, 500, { error: 'internal fault, see the log of the server' });
    }
  }
  // Node would set it again only when nothing of the connection is left to be answered.
  request.socket.setTimeout(timeoutOf(options));
}

function send(response: ServerResponse, status: number, body: object): void {
  sendText(response, status, 'application/json', `${JSON.stringify(body)}\n`);
}

function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
