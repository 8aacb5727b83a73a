/**
 * The servers that hostile clients meet, all on this thread: an `NbdServer` on a unix socket, over TCP and on a Duplex, and
 * connections with a descriptor and a fence of their own, as the daemon makes them. And the client beside them.
 */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import * as wire from 'node-nbd-server';
import { type ExportInfo, NbdClient, NbdServer } from 'node-nbd-server';
import type { Test } from 'tap';
import { ram } from '../byte_server.ts';
import { serve } from '../nbd_server.ts';
import { ALL_FLAGS, BLOCK, RamDevice } from '../ram_device.ts';
import { tempFolder } from '../tmp.ts';
import type { Session } from './session.ts';

const SIZE = 1024 * 1024;
const CONNECT_MS = 8000;
/** No session of the grammar asks for this one. */
export const STEADY = 'steady-6f1c';
const STEADY_PAGES = 64;
/** What a client must never see that has not written it. */
export const SECRET = Buffer.from('5ec2e7a90b1dfa11', 'hex');

export interface Target {
  readonly exports: readonly ExportInfo[];
  /** The device of the first export, if it is in this process. */
  readonly device: RamDevice | null;
  connect(): Promise<Duplex>;
  /** Connections of hostile clients that have not ended. */
  open(): number;
}

/** Sets a device back, and says how it answers from now on. */
export function prepare(device: RamDevice, how: Session['device']): void {
  device.bytes.fill(0);
  device.written.fill(0);
  device.writes = how === 'taken' || how === 'wait' ? how : 'now';
  device.others = how === 'now' ? 'now' : 'soon';
  device.onHeld = () =>
    setImmediate(() => {
      // Whoever waits would be told to wait again.
      if (device.writes === 'wait') device.writes = 'taken';
      device.release(true);
    });
}

/** Two ends of a pipe for both ways, without a system in between. */
function pair(): [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const end = (other: number): Duplex => {
    let go = (): void => undefined;
    return new Duplex({
      allowHalfOpen: true,
      read: () => {
        (ends[other] as Duplex & { goOn?: () => void }).goOn?.();
      },
      write(this: Duplex & { goOn?: () => void }, bytes: Buffer, _encoding, done) {
        go = done;
        this.goOn = () => {
          const next = go;
          go = () => undefined;
          next();
        };
        if (ends[other].destroyed || ends[other].push(Buffer.from(bytes))) this.goOn();
      },
      final(done) {
        ends[other].push(null);
        done();
      },
      destroy(error, done) {
        const peer = ends[other];
        setImmediate(() => {
          if (!peer.destroyed && !peer.readableEnded) peer.destroy();
        });
        done(error);
      },
    });
  };
  ends.push(end(1), end(0));
  return [ends[0], ends[1]];
}

export async function dial(where: { path: string } | { port: number }): Promise<Socket> {
  const socket = createConnection({ ...where, allowHalfOpen: true });
  // Who leaves before that was never here.
  await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_MS) });
  return socket;
}

export interface Targets {
  readonly all: readonly Target[];
  readonly steady: Steady;
}

export async function startTargets(t: Test): Promise<Targets> {
  const device = new RamDevice({ size: SIZE });
  const bytes = Buffer.alloc(SIZE);
  const zero = (offset: number, length: number): unknown => bytes.fill(0, offset, offset + length);
  const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const devices = [
    device,
    // Its last block is cut, and some of its calls take their time.
    ram({ name: 'bytes', description: 'by bytes', size: SIZE - 100, zero, trim: zero, flush: soon, fastZero: true }),
    new RamDevice({ name: 'strict', size: SIZE, minBlock: 512, maxBlock: 65_536, flags: wire.NBD_FLAG_HAS_FLAGS }),
    new RamDevice({ name: 'rom', size: SIZE, flags: ALL_FLAGS | wire.NBD_FLAG_READ_ONLY }),
    ram({ name: STEADY, size: STEADY_PAGES * BLOCK }),
  ];
  const server = new NbdServer({ devices });
  const path = join(tempFolder(t), 'nbd.sock');
  await server.listen(path);
  await server.listen(0);
  t.teardown(() => server.close(0));
  const client = await NbdClient.connect({ socketPath: path, export: STEADY });
  t.teardown(() => client.destroy());
  const exports: ExportInfo[] = [];
  for (const { name } of await NbdClient.list({ socketPath: path })) exports.push(await infoOf(path, name));
  const open = (): number => server.connections - 1;
  const all: Target[] = [
    { exports, device, open, connect: () => dial({ path }) },
    { exports, device, open, connect: () => dial({ port: server.port }) },
    {
      exports,
      device,
      open,
      connect: async () => {
        const [ours, theirs] = pair();
        server.accept(theirs);
        return ours;
      },
    },
  ];
  for (const tcp of [false, true]) all.push(await withFence(t, tcp));
  return { all, steady: new Steady(client) };
}

/** Each connection has a descriptor and is asked for its end. */
async function withFence(t: Test, tcp: boolean): Promise<Target> {
  const device = new RamDevice({ size: SIZE });
  const served = await serve(t, device, { tcp });
  const where = tcp ? { port: Number(served.where) } : { path: served.socketPath };
  return {
    exports: [device.info],
    device,
    connect: () => dial(where),
    // Who resets his connection at once may never be accepted.
    open: () => served.connections.length - served.ends,
  };
}

/** What the server says of an export, as our own client understands it. */
export async function infoOf(path: string, name: string): Promise<ExportInfo> {
  const client = await NbdClient.connect({ socketPath: path, export: name, structured: false });
  const { info, size, flags } = client;
  await client.disconnect();
  const { minBlock = 1, preferredBlock = BLOCK, maxBlock = wire.NBD_MAX_PAYLOAD } = info;
  return { name, description: '', size, flags, minBlock, preferredBlock, maxBlock };
}

/** A client that behaves, on an export of its own: it reads what it wrote, whatever happens beside it. */
export class Steady {
  wrong = 0;
  rounds = 0;
  readonly #client: NbdClient;
  readonly #versions = new Map<number, number>();

  constructor(client: NbdClient) {
    this.#client = client;
  }

  async round(): Promise<void> {
    const page = this.rounds++ % STEADY_PAGES;
    const other = (this.rounds * 29) % STEADY_PAGES;
    this.#versions.set(page, this.rounds);
    await this.#client.write(page * BLOCK, this.#page(page));
    const found = await Promise.all([page, other].map((n) => this.#client.read(n * BLOCK, BLOCK)));
    if (!found[0].equals(this.#page(page)) || !found[1].equals(this.#page(other))) this.wrong++;
  }

  leave(): void {
    this.#client.destroy();
  }

  #page(n: number): Buffer {
    const version = this.#versions.get(n);
    if (version === undefined) return Buffer.alloc(BLOCK);
    const page = Buffer.alloc(BLOCK, SECRET);
    page.writeUInt32BE(version, 0);
    return page;
  }
}
