/**
 * The client side of one connection, without a library's manners: sends any bytes, knows when the kernel has them all,
 * and closes without a word. Simple replies only, and only to requests whose replies carry no data.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import * as wire from 'node-nbd-server';
import type { Test } from 'tap';
import { FIXED, option, u32 } from '../../support/handshake_driver.ts';

export const PAGE = 4096;

export type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** Pages that don't compress: the pool rejects them, so each of them goes to the image, its slot pinned until it is there. */
export function noise(pages: number): Buffer {
  return randomBytes(pages * PAGE);
}

/** Pages that compress: they are stored at once, whatever the image does. */
export function text(word: string, pages: number): Buffer {
  return Buffer.alloc(pages * PAGE, `${word} but not the same machine word all over, `);
}

function header(type: number, cookie: number, offset: number, length: number): Buffer {
  const head = Buffer.alloc(wire.NBD_REQUEST_BYTES);
  head.writeUInt32BE(wire.NBD_REQUEST_MAGIC, 0);
  head.writeUInt16BE(type, 6);
  head.writeBigUInt64BE(BigInt(cookie), 8);
  head.writeBigUInt64BE(BigInt(offset), 16);
  head.writeUInt32BE(length, 24);
  return head;
}

export class Peer {
  readonly socket: Socket;
  /** Bytes sent since the handshake. */
  sent = 0;
  /** Error of each request that was answered, by cookie; cookies count from 0. */
  readonly answers = new Map<number, number>();
  readonly #wakers: (() => void)[] = [];
  #cookie = 0;
  #unread = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  static async connect(t: Pick<Test, 'teardown'>, address: Address, name: string): Promise<Peer> {
    const socket = createConnection(address);
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    socket.setNoDelay(true);
    socket.write(Buffer.concat([u32(FIXED), option(wire.NBD_OPT_EXPORT_NAME, name)]));
    // The server's greeting, and its answer to EXPORT_NAME without pad bytes.
    for (let left = 18 + 10; left > 0; ) {
      const bytes = socket.read(Math.min(left, 18)) as Buffer | null;
      if (bytes === null) await once(socket, 'readable');
      else left -= bytes.length;
    }
    const peer = new Peer(socket);
    // The server may close first, with a reset when it leaves bytes of ours unread.
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => peer.#receive(bytes));
    socket.on('close', () => peer.#wake());
    return peer;
  }

  write(slot: number, data: Buffer): Buffer {
    return Buffer.concat([header(wire.NBD_CMD_WRITE, this.#cookie++, slot * PAGE, data.length), data]);
  }

  trim(offset: number, length: number): Buffer {
    return header(wire.NBD_CMD_TRIM, this.#cookie++, offset, length);
  }

  zero(offset: number, length: number): Buffer {
    return header(wire.NBD_CMD_WRITE_ZEROES, this.#cookie++, offset, length);
  }

  disc(): Buffer {
    return header(wire.NBD_CMD_DISC, this.#cookie++, 0, 0);
  }

  /** Resolves when the kernel has all of it, so that closing the socket loses nothing. */
  send(...parts: readonly Buffer[]): Promise<void> {
    const bytes = Buffer.concat(parts);
    this.sent += bytes.length;
    return new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Resolves when `n` requests are answered, without an error. */
  async answered(n: number): Promise<void> {
    while (this.answers.size < n) {
      if (this.socket.destroyed) throw new Error(`the connection ended after ${this.answers.size} of ${n} replies`);
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
    }
    for (const [cookie, error] of this.answers) {
      if (error !== 0) throw new Error(`request ${cookie} was answered with error ${error}`);
    }
  }

  /** Sends and waits for the replies to everything sent so far. */
  async done(...parts: readonly Buffer[]): Promise<void> {
    await this.send(...parts);
    await this.answered(this.#cookie);
  }

  /** Whether the other kernel has everything (TCP), or the connection is over already: a close then takes nothing back. */
  acknowledged(): boolean {
    const port = this.socket.localPort?.toString(16).toUpperCase().padStart(4, '0');
    const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n');
    const mine = lines.find((line) => new RegExp(`^ *[0-9]+: 0100007F:${port} `).test(line));
    return mine === undefined || / 00000000:[0-9A-F]{8} /.test(mine);
  }

  /** Ends the connection as a killed client does: no DISC, nothing is waited for. */
  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    this.socket.destroy();
    await once(this.socket, 'close');
  }

  #receive(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    let at = 0;
    for (; at + wire.NBD_SIMPLE_REPLY_BYTES <= this.#unread.length; at += wire.NBD_SIMPLE_REPLY_BYTES) {
      if (this.#unread.readUInt32BE(at) !== wire.NBD_SIMPLE_REPLY_MAGIC) throw new Error('this is no simple reply');
      this.answers.set(Number(this.#unread.readBigUInt64BE(at + 8)), this.#unread.readUInt32BE(at + 4));
    }
    this.#unread = this.#unread.subarray(at);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakers.splice(0)) wake();
  }
}
