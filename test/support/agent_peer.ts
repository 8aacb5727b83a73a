/**
 * The server's side of the agent's protocol, as the page src/control/agent.md has it, without a pool behind it: it checks every
 * batch, and knows whose each slot is. Tests tell it to answer otherwise.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const MAGIC = 0x4157535a;
const HEADER = 48;
const RECORD = 20;

export interface PeerRecord {
  readonly slot: number;
  readonly count: number;
  /** Path of the cgroup, `#ID` for one without a name, or null where the slots are free. */
  readonly owner: string | null;
  /** In µs of the server's clock. */
  readonly time: number;
}

export interface PeerBatch {
  readonly flags: number;
  readonly session: string;
  readonly sequence: number;
  readonly error: number;
  readonly lost: number;
  readonly names: readonly { readonly id: number; readonly path: string | null }[];
  readonly records: readonly PeerRecord[];
}

/** Answers instead of the peer where it returns a status. */
type Intervene = (
  method: string,
  batch: PeerBatch | undefined,
) => { status: number; body: object } | 'hang up' | undefined;

export class AgentPeer {
  readonly batches: PeerBatch[] = [];
  readonly owners = new Map<number, string>();
  /** What was wrong with batches. */
  readonly complaints: string[] = [];
  session: string | null = null;
  expects = 0;
  slots = 262_144;
  intervene: Intervene = () => undefined;
  bytes = 0;
  private readonly names = new Map<number, string>();
  private readonly server: Server;
  private readonly token: string;

  constructor(token: string) {
    this.token = token;
    this.server = createServer((request, response) => this.take(request, response));
  }

  /** Of port 0 one is picked. */
  async listen(to: { readonly port: number } | { readonly path: string }): Promise<number> {
    await new Promise<void>((resolve) => {
      if ('path' in to) this.server.listen(to.path, resolve);
      else this.server.listen(to.port, '127.0.0.1', resolve);
    });
    const address = this.server.address();
    return address !== null && typeof address === 'object' ? (address as AddressInfo).port : 0;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** As a server that was started again. */
  forget(): void {
    this.session = null;
    this.expects = 0;
    this.owners.clear();
    this.names.clear();
  }

  /** Slots of each cgroup and of those below it. */
  charged(path: string): number {
    const below = path === '/' ? '/' : `${path}/`;
    let slots = 0;
    for (const owner of this.owners.values()) if (owner === path || owner.startsWith(below)) slots++;
    return slots;
  }

  private take(request: IncomingMessage, response: ServerResponse): void {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const answer = this.answer(request, Buffer.concat(parts));
      if (answer === 'hang up') request.socket.destroy();
      else response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  }

  private answer(request: IncomingMessage, body: Buffer): { status: number; body: object } | 'hang up' {
    if (request.headers.authorization !== `Bearer ${this.token}`) return { status: 401, body: { error: 'token' } };
    const now = String(Math.round(performance.now() * 1000));
    const { session, expects } = this;
    const batch = request.method === 'POST' ? this.decode(body) : undefined;
    const other = this.intervene(request.method ?? '', batch);
    if (other !== undefined) return other;
    if (batch === undefined) {
      const limits = { batchBytes: 262_144, batchSlots: 1 << 20, cgroups: 8192, pathBytes: 4095 };
      return { status: 200, body: { version: 1, slots: this.slots, now, session, expects, limits } };
    }
    this.bytes += body.length;
    if (batch.sequence !== 0 || batch.session === session) {
      const isAgain = batch.session === session && batch.sequence === expects - 1;
      if (isAgain) return { status: 200, body: { expects, now } };
      if (batch.session !== session || batch.sequence !== expects) {
        return { status: 409, body: { error: 'sequence', session, expects } };
      }
    }
    this.session = batch.session;
    this.expects = batch.sequence + 1;
    this.apply(batch);
    return { status: 200, body: { expects: this.expects, now } };
  }

  private apply(batch: PeerBatch): void {
    this.batches.push(batch);
    if (this.batches.length > 10_000) this.batches.shift();
    if ((batch.flags & 1) !== 0) this.owners.clear();
    for (const { slot, count, owner } of batch.records) {
      for (let i = 0; i < count; i++) {
        if (owner === null) this.owners.delete(slot + i);
        else this.owners.set(slot + i, owner);
      }
    }
    for (const { id, path } of batch.names) if (path === null) this.gone(id);
  }

  private gone(id: number): void {
    const path = this.names.get(id);
    this.names.delete(id);
    if (path === undefined) return;
    const parent = path.slice(0, path.lastIndexOf('/')) || '/';
    for (const [slot, owner] of this.owners) if (owner === path) this.owners.set(slot, parent);
  }

  private decode(body: Buffer): PeerBatch {
    const wrong = (what: string): void => void this.complaints.push(what);
    const namesEnd = HEADER + body.readUInt32LE(40);
    const count = body.readUInt32LE(44);
    if (body.readUInt32LE(0) !== MAGIC || body.readUInt16LE(4) !== 1) wrong('magic or version');
    if (body.length !== namesEnd + count * RECORD || body.length > 262_144) wrong('length');
    if (body.readUInt16LE(6) > 7) wrong('flags');
    const names: { id: number; path: string | null }[] = [];
    for (let at = HEADER; at < namesEnd; ) {
      const id = Number(body.readBigUInt64LE(at));
      const length = body.readUInt16LE(at + 8);
      const path = length === 0xffff ? null : body.toString('utf8', at + 10, at + 10 + length);
      names.push({ id, path });
      if (path !== null) this.names.set(id, path);
      at += 10 + (path === null ? 0 : length);
    }
    const time0 = Number(body.readBigUInt64LE(24));
    const records = Array.from({ length: count }, (_, i): PeerRecord => {
      const at = namesEnd + i * RECORD;
      const id = Number(body.readBigUInt64LE(at + 8));
      const record = {
        slot: body.readUInt32LE(at),
        count: body.readUInt32LE(at + 4),
        owner: id === 0 ? null : (this.names.get(id) ?? `#${id}`),
        time: time0 + body.readInt32LE(at + 16),
      };
      if (record.count < 1 || record.slot + record.count > this.slots) wrong(`slots ${record.slot}+${record.count}`);
      return record;
    });
    const session = body.readBigUInt64LE(8).toString(16).padStart(16, '0');
    return {
      flags: body.readUInt16LE(6),
      session,
      sequence: Number(body.readBigUInt64LE(16)),
      error: body.readUInt32LE(32),
      lost: body.readUInt32LE(36),
      names,
      records,
    };
  }
}
