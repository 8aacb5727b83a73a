// Questions to the server, one after the other, over one connection that is kept: TCP, a unix socket, or a virtio-serial port.
import { Agent, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { now } from './clock.ts';
import { Problem } from './problem.ts';
import { openPort } from './serial_port.ts';

/** The server gives up a request that takes 5 s to arrive, and has as long to answer. */
const TIMEOUT_MS = 12_000;
/** An answer has some hundred bytes. */
const ANSWER_BYTES_MAX = 65_536;

/** Where the server is, of one of three kinds. */
export type Address =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }
  | { readonly serial: string };

export function parseAddress(text: string): Address {
  const serial = /^serial:(\/.+)$/.exec(text)?.[1];
  if (serial !== undefined) return { serial };
  const path = /^unix:(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  const tcp = /^(?:(\[[0-9a-f:]+\]|[\w.-]+)):(\d+)$/i.exec(text);
  if (tcp === null || Number(tcp[2]) > 65_535) {
    throw new Problem(`${text}: no address of a server, allowed: HOST:PORT, unix:/PATH, serial:/dev/virtio-ports/NAME`);
  }
  return { host: tcp[1].replace(/^\[|\]$/g, ''), port: Number(tcp[2]) };
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  /** Our clock around the exchange, in µs. */
  readonly asked: number;
  readonly answered: number;
}

/** Node asks for these of whatever it takes for a socket. */
class PortAgent extends Agent {
  private readonly path: string;

  constructor(path: string) {
    super({ keepAlive: true, maxSockets: 1 });
    this.path = path;
  }

  override createConnection(): Duplex {
    return openPort(this.path);
  }
}

export class Link {
  private readonly address: Address;
  private readonly agent: Agent;
  private readonly path: string;
  private readonly token: string;

  constructor(address: Address, exportName: string, token: string) {
    this.address = address;
    this.agent = 'serial' in address ? new PortAgent(address.serial) : new Agent({ keepAlive: true, maxSockets: 1 });
    this.path = `/v1/agent/${encodeURIComponent(exportName)}`;
    this.token = token;
  }

  /** Without a body it is a GET. Rejects where no answer comes. */
  ask(body?: Buffer): Promise<Answer> {
    const to = 'host' in this.address ? this.address : 'path' in this.address ? { socketPath: this.address.path } : {};
    let giveUp: NodeJS.Timeout | undefined;
    const answer = new Promise<Answer>((resolve, reject) => {
      const asked = now();
      const outgoing = request({
        ...to,
        agent: this.agent,
        method: body === undefined ? 'GET' : 'POST',
        path: this.path,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/octet-stream', 'content-length': body.length }),
        },
      });
      giveUp = setTimeout(() => outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
      outgoing.on('error', reject);
      outgoing.on('response', (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
          if (text.length > ANSWER_BYTES_MAX) outgoing.destroy(new Error('the answer is too long'));
        });
        incoming.on('error', reject);
        incoming.on('end', () => {
          resolve({ status: incoming.statusCode ?? 0, body: parseBody(text), asked, answered: now() });
        });
      });
      outgoing.end(body);
    });
    return answer.finally(() => clearTimeout(giveUp));
  }

  /** Ends the connection, and with it the question that is under way. */
  close(): void {
    this.agent.destroy();
  }
}

function parseBody(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // What is no JSON has no fields; the status says what is to be known.
    return {};
  }
  return {};
}
