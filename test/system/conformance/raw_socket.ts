/** A client that sends exactly the bytes it is told to, for input that no well-behaved client would send. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import * as wire from 'node-nbd-server';
import type { Test } from 'tap';
import { FIXED, infoData, option, u16, u32 } from '../../support/handshake_driver.ts';
import type { RunningServer } from '../../support/zswapd.ts';
import { noise } from './tools.ts';

/** Longer than anything that is waited for, so that a hang is an error of its test and not of the whole run. */
const PATIENCE_MS = 15_000;

export class RawSocket {
  readonly socket: Socket;
  /** Resolves when the connection is closed by either side, also by a reset. */
  readonly closed: Promise<void>;
  readonly #readEnd: Promise<void>;
  #kept = Buffer.alloc(0);
  #ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true;
        resolve();
      });
    });
    this.#readEnd = new Promise((resolve) => {
      socket.on('end', resolve);
    });
    // A reset is one of the ways a server may answer hostile input.
    socket.on('error', () => socket.destroy());
  }

  static async open(t: Pick<Test, 'teardown'>, where: string | { host: string; port: number }): Promise<RawSocket> {
    const socket = connect(
      typeof where === 'string' ? { path: where, allowHalfOpen: true } : { ...where, allowHalfOpen: true },
    );
    const raw = new RawSocket(socket);
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    return raw;
  }

  /** Opens, reads the greeting and answers it with flags. */
  static async greeted(t: Pick<Test, 'teardown'>, path: string, flags: number = FIXED): Promise<RawSocket> {
    const raw = await RawSocket.open(t, path);
    await raw.take(18);
    raw.send(u32(flags));
    return raw;
  }

  /** Goes all the way into transmission, with simple replies. */
  static async transmitting(t: Pick<Test, 'teardown'>, path: string, name = 'swap0'): Promise<RawSocket> {
    const raw = await RawSocket.greeted(t, path);
    raw.send(option(wire.NBD_OPT_GO, infoData(name)));
    for (;;) {
      const { type } = await raw.reply();
      if (type === wire.NBD_REP_ACK) return raw;
      if (type !== wire.NBD_REP_INFO) throw new Error(`GO was answered with ${type.toString(16)}`);
    }
  }

  send(...parts: Uint8Array[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** Takes exactly `n` bytes; fails if the connection ends first. */
  async take(n: number): Promise<Buffer> {
    const late = AbortSignal.timeout(PATIENCE_MS);
    while (this.#kept.length < n) {
      if (this.#ended || this.socket.readableEnded) throw new Error(`closed after ${this.#kept.length} of ${n} bytes`);
      const chunk: Buffer | null = this.socket.read();
      if (chunk !== null) this.#kept = Buffer.concat([this.#kept, chunk]);
      else await Promise.race([once(this.socket, 'readable', { signal: late }), this.closed]);
    }
    const taken = this.#kept.subarray(0, n);
    this.#kept = this.#kept.subarray(n);
    return taken;
  }

  /** An option reply. */
  async reply(): Promise<{ option: number; type: number; data: Buffer }> {
    const head = await this.take(20);
    return { option: head.readUInt32BE(8), type: head.readUInt32BE(12), data: await this.take(head.readUInt32BE(16)) };
  }

  /** A simple reply without payload: its error. */
  async simple(): Promise<number> {
    const head = await this.take(16);
    if (head.readUInt32BE(0) !== wire.NBD_SIMPLE_REPLY_MAGIC) throw new Error(`bad reply ${head.toString('hex')}`);
    return head.readUInt32BE(4);
  }

  /** Reads and drops everything until the server hangs up; fails if it does not. */
  async hungUp(): Promise<void> {
    this.socket.resume();
    let timer: NodeJS.Timeout | null = null;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('the server did not hang up')), PATIENCE_MS);
    });
    await Promise.race([this.closed, this.#readEnd, late]).finally(() => clearTimeout(timer ?? undefined));
    this.socket.destroy();
    await this.closed;
  }

  /** Ends at once, by a reset if the peer has sent what was not read. */
  async destroy(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}

/** The 28 bytes of a request. */
export function request(
  type: number,
  offset: bigint,
  length: number,
  o: { flags?: number; magic?: number } = {},
): Buffer {
  const place = Buffer.alloc(8);
  place.writeBigUInt64BE(BigInt.asUintN(64, offset));
  return Buffer.concat([
    u32(o.magic ?? wire.NBD_REQUEST_MAGIC),
    u16(o.flags ?? 0, type),
    Buffer.from('\u0001cookie!', 'latin1'),
    place,
    u32(length),
  ]);
}

/** The server is alive and well: a good client writes and reads, the counters answer, and it can stop cleanly later. */
export async function stillServes(t: Test, server: RunningServer): Promise<void> {
  const client = await server.connect();
  const data = noise(process.hrtime()[1], 3 * 4096);
  await client.write(1024 * 1024, data);
  t.ok((await client.read(1024 * 1024, data.length)).equals(data), 'a good client is served');
  await client.disconnect();
  const { pool, lanes } = await server.stats();
  t.ok(pool.connections >= 1 && lanes.length >= 1, 'stats answer');
  t.equal(server.child.exitCode, null, 'the process lives');
}
