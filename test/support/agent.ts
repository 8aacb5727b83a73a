/** An agent of a guest: batches as agent.md says, and a client of the listener. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';

export interface TestRecord {
  readonly slot: number;
  readonly count?: number;
  /** 0: free. */
  readonly id: number | bigint;
  /** Microseconds after time0. */
  readonly time?: number;
}

export interface TestBatch {
  readonly magic?: number;
  readonly version?: number;
  readonly flags?: number;
  readonly session?: bigint;
  readonly sequence?: number | bigint;
  readonly time0?: bigint;
  readonly error?: number;
  readonly lost?: number;
  /** Null: gone. */
  readonly names?: readonly (readonly [number | bigint, string | Buffer | null])[];
  readonly records?: readonly TestRecord[];
}

export function makeBatch(b: TestBatch): Buffer {
  const { names = [], records = [] } = b;
  const parts = names.map(([id, path]) => {
    const bytes = path === null ? Buffer.alloc(0) : Buffer.from(path as string);
    const head = Buffer.alloc(10);
    head.writeBigUInt64LE(BigInt(id));
    head.writeUInt16LE(path === null ? 0xffff : bytes.length, 8);
    return Buffer.concat([head, bytes]);
  });
  const namesBytes = parts.reduce((sum, part) => sum + part.length, 0);
  const body = Buffer.alloc(48 + records.length * 20);
  body.writeUInt32LE(b.magic ?? 0x4157535a);
  body.writeUInt16LE(b.version ?? 1, 4);
  body.writeUInt16LE(b.flags ?? 0, 6);
  body.writeBigUInt64LE(b.session ?? 1n, 8);
  body.writeBigUInt64LE(BigInt(b.sequence ?? 0), 16);
  body.writeBigUInt64LE(b.time0 ?? 0n, 24);
  body.writeUInt32LE(b.error ?? 0, 32);
  body.writeUInt32LE(b.lost ?? 0, 36);
  body.writeUInt32LE(namesBytes, 40);
  body.writeUInt32LE(records.length, 44);
  records.forEach(({ slot, count = 1, id, time = 0 }, i) => {
    const at = 48 + i * 20;
    body.writeUInt32LE(slot, at);
    body.writeUInt32LE(count, at + 4);
    body.writeBigUInt64LE(BigInt(id), at + 8);
    body.writeInt32LE(time, at + 16);
  });
  return Buffer.concat([body.subarray(0, 48), ...parts, body.subarray(48)]);
}

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the answer is JSON, and each test looks at other parts of it.
  readonly body: any;
}

/** A client of the listener, which keeps one connection. */
export class TestAgent {
  private readonly where: { socketPath: string } | { host: string; port: number };
  private readonly name: string;
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  token: string;
  session = 1n;
  sequence = 0;

  /** `where`: a path, or host:port. */
  constructor(where: string, name: string, tokenFile: string) {
    const colon = where.lastIndexOf(':');
    this.where = where.includes('/')
      ? { socketPath: where }
      : { host: where.slice(0, colon), port: Number(where.slice(colon + 1)) };
    this.name = name;
    this.token = readFileSync(tokenFile, 'utf8').trim();
  }

  ask(method: string, body?: Buffer, path = `/v1/agent/${encodeURIComponent(this.name)}`): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-length': body.length }),
      };
      const sent = request({ ...this.where, method, path, headers, agent: this.agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) });
        });
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** The server's clock. */
  async now(): Promise<bigint> {
    return BigInt((await this.ask('GET')).body.now);
  }

  /** The next batch of the session, which has to be taken. */
  async say(batch: TestBatch): Promise<Answer['body']> {
    const { session, sequence } = this;
    const { status, body } = await this.ask('POST', makeBatch({ session, sequence, ...batch }));
    if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
    this.sequence = body.expects;
    return body;
  }

  close(): void {
    this.agent.destroy();
  }
}
