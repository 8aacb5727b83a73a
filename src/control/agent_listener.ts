/**
 * Where agents of guests report (agent.md): HTTP on listeners of their own, which have nothing but the agents' resource.
 *
 * Who has not said the right token is told 401 and nothing else, before a byte of a body is kept. All is bounded: connections,
 * header, body, time; and one request is answered in each turn of the event loop, as on the control socket.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import { listenUnix } from '../os/unix_socket.ts';
import { BATCH_BYTES_MAX, type Batch, BatchError, readBatch } from './agent_batch.ts';
import { AgentConnections, type ConnectionShares } from './agent_connections.ts';
import { REQUESTS_PER_CONNECTION, RequestLine } from './line.ts';

const PREFIX = '/v1/agent/';
/** A name of an export of 255 bytes, each of them encoded as three, and the token. */
const MAX_HEADER_BYTES = 4096;
const REQUEST_TIMEOUT_MS = 5000;
/** Of the system, for connections that were not taken yet. */
const BACKLOG = 64;

interface AgentAnswer {
  readonly status: number;
  readonly body: object;
}

/** One export that has an agent. */
interface AgentTarget {
  readonly name: string;
  readonly token: Buffer;
  readonly slots: number;
  state(): object;
  apply(batch: Batch, bytes: number): Promise<AgentAnswer>;
  /** Told of a batch that was none. */
  refuse(): void;
}

interface AgentListenerOptions {
  readonly unix: string | null;
  readonly tcp: { readonly host: string; readonly port: number } | null;
  /** Of one listener; see AgentConnections. */
  readonly connections: ConnectionShares;
  readonly targets: readonly AgentTarget[];
  readonly onError: (error: unknown) => void;
  /** Told what a close could not do. */
  readonly warn?: (line: string) => void;
  /** How long a client may take for its request, in milliseconds; 5 s unless given. */
  readonly timeoutMs?: number;
}

export interface AgentListener {
  /** Where it listens, as stats show it. */
  readonly where: { readonly unix: string | null; readonly tcp: string | null };
  close(): Promise<void>;
}

/** Listens, or throws an ExitError with exit code 2 where a socket can't be had. */
export async function startAgentListener(o: AgentListenerOptions): Promise<AgentListener> {
  const line = new RequestLine();
  const servers: Server[] = [];
  const add = (): Server => {
    const server = newServer(o, line);
    servers.push(server);
    return server;
  };
  const close = async (): Promise<void> => {
    await Promise.all(servers.map(endServer));
  };
  let tcp: string | null = null;
  try {
    if (o.unix !== null) await listenUnix(add(), o.unix, { backlog: BACKLOG, ...(o.warn && { warn: o.warn }) });
    if (o.tcp !== null) tcp = await listenTcp(add(), o.tcp);
  } catch (error) {
    await close();
    throw error;
  }
  for (const server of servers) server.on('error', o.onError);
  return { where: { unix: o.unix, tcp }, close };
}

function newServer(o: AgentListenerOptions, line: RequestLine): Server {
  const { timeoutMs: timeout = REQUEST_TIMEOUT_MS } = o;
  const options = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: timeout,
    requestTimeout: timeout,
    // An agent of a guest that does nothing has nothing to say for minutes.
    keepAliveTimeout: 0,
    connectionsCheckingInterval: Math.min(timeout, 1000),
  };
  const guests = new AgentConnections(o.connections);
  const server = createServer(options, (request, response) => receive(o, line, guests, timeout, request, response));
  server.on('connection', (socket) => guests.add(socket));
  return server;
}

function receive(
  o: AgentListenerOptions,
  line: RequestLine,
  guests: AgentConnections,
  timeout: number,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const target = authorised(o.targets, request);
  const problem = target === null ? 401 : routeProblem(request);
  if (target === null || problem !== null) {
    refuse(request, response, problem ?? 401);
    return;
  }
  guests.know(request.socket, target.name);
  readBody(request, response, target, (body) => {
    const joined = line.join(request, response, async () => {
      // The shrinker's thread may wait for an image; the client does too, as long as it likes.
      request.socket.setTimeout(0);
      try {
        const { status, body: answer } = await answerOne(request, target, body);
        send(response, status, answer);
      } catch (error) {
        o.onError(error);
        send(response, 500, { error: 'internal fault, see the log of the server' });
      }
      // A client that reads nothing would otherwise hold its answer for ever.
      if (!response.writableFinished) request.socket.setTimeout(timeout, () => request.socket.destroy());
      response.once('finish', () => request.socket.setTimeout(0));
    });
    if (joined) return;
    response.setHeader('connection', 'close');
    send(response, 503, { error: `more than ${REQUESTS_PER_CONNECTION} requests of this connection wait` });
  });
}

/** The export whose token is there and that the path names, or null. The same time is taken whatever is wrong. */
function authorised(targets: readonly AgentTarget[], { url = '', headers }: IncomingMessage): AgentTarget | null {
  const said = digest(/^Bearer ([0-9a-f]+)$/i.exec(headers.authorization ?? '')?.[1] ?? '');
  let found: AgentTarget | null = null;
  for (const target of targets) {
    const knows = timingSafeEqual(said, digest(target.token.toString('hex')));
    if (knows && url === PREFIX + encodeURIComponent(target.name)) found = target;
  }
  return found;
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token.toLowerCase()).digest();
}

function routeProblem({ method }: IncomingMessage): number | null {
  return method === 'GET' || method === 'POST' ? null : 405;
}

const REFUSED: Readonly<Record<number, string>> = {
  401: 'no such token of this path',
  405: 'the resource of an agent takes GET and POST',
  413: `the body has more than ${BATCH_BYTES_MAX} bytes`,
};

/** What is left of the request is not read. */
function refuse(request: IncomingMessage, response: ServerResponse, status: number): void {
  request.pause();
  response.setHeader('connection', 'close');
  if (status === 401) response.setHeader('www-authenticate', 'Bearer');
  if (status === 405) response.setHeader('allow', 'GET, POST');
  response.once('finish', () => request.destroy());
  send(response, status, { error: REFUSED[status] });
}

function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  target: AgentTarget,
  done: (body: Buffer) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (response.headersSent) return;
    if (bytes <= BATCH_BYTES_MAX) chunks.push(chunk);
    else {
      target.refuse();
      refuse(request, response, 413);
    }
  });
  // Of a request that was cut short there is no end, and nothing of it has an effect.
  request.on('end', () => done(Buffer.concat(chunks)));
}

async function answerOne({ method }: IncomingMessage, target: AgentTarget, body: Buffer): Promise<AgentAnswer> {
  if (method === 'GET') return { status: 200, body: target.state() };
  let batch: Batch;
  try {
    batch = readBatch(body, target.slots);
  } catch (error) {
    if (!(error instanceof BatchError)) throw error;
    target.refuse();
    return { status: 400, body: { error: error.message } };
  }
  return target.apply(batch, body.length);
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function listenTcp(server: Server, { host, port }: { host: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(
        new ExitError(EXIT.usage, `agents.tcp: ${host}:${port}: can't listen: ${errorText(error)}`, { cause: error }),
      );
    server.once('error', fail);
    server.listen({ host, port }, () => {
      server.removeListener('error', fail);
      const { address, family, port: taken } = server.address() as AddressInfo;
      resolve(`${family === 'IPv6' ? `[${address}]` : address}:${taken}`);
    });
  });
}

function endServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    if (!server.listening) {
      resolve();
      return;
    }
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    server.closeAllConnections();
  });
}
