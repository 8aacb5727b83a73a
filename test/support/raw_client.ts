/** A client that goes through the handshake and then does only what it is told: sends bytes, reads when asked. */
import { createConnection, type Socket } from 'node:net';
import * as wire from 'node-nbd-server';
import type { Test } from 'tap';
import { FIXED, infoData, option, u32 } from './handshake_driver.ts';

export interface RawClient {
  readonly socket: Socket;
  /** Sends a request; the cookie is `cookie` in its lower half. */
  request(type: number, flags: number, cookie: number, offset: number, length: number, payload?: Uint8Array): void;
  /** Reads exactly `n` bytes, or rejects at the end of the stream. */
  take(n: number): Promise<Buffer>;
}

export function rawRequest(type: number, flags: number, cookie: number, offset: number, length: number): Buffer {
  const head = Buffer.alloc(wire.NBD_REQUEST_BYTES);
  head.writeUInt32BE(wire.NBD_REQUEST_MAGIC, 0);
  head.writeUInt16BE(flags, 4);
  head.writeUInt16BE(type, 6);
  head.writeUInt32BE(cookie, 12);
  head.writeBigUInt64BE(BigInt(offset), 16);
  head.writeUInt32BE(length, 24);
  return head;
}

/** Connects to a path or a port, without structured replies. */
export async function rawClient(t: Pick<Test, 'teardown'>, where: string | number, name: string): Promise<RawClient> {
  const socket = createConnection(typeof where === 'string' ? { path: where } : { port: where });
  t.teardown(() => socket.destroy());
  socket.on('error', () => socket.destroy());
  const chunks: Buffer[] = [];
  let have = 0;
  let wanted = 0;
  let notify = (): void => undefined;
  // Flows only while `take` waits: else nothing is read, and the socket's buffers fill.
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    have += chunk.length;
    if (have < wanted) return;
    socket.pause();
    notify();
  });
  socket.on('close', () => notify());
  socket.pause();
  const take = async (n: number): Promise<Buffer> => {
    wanted = n;
    if (have < n) {
      const done = new Promise<void>((resolve) => {
        notify = resolve;
      });
      socket.resume();
      await done;
      if (have < n) throw new Error('the stream ended');
    }
    const all = Buffer.concat(chunks.splice(0), have);
    if (have > n) chunks.push(all.subarray(n));
    have -= n;
    return all.subarray(0, n);
  };
  socket.write(Buffer.concat([u32(FIXED), option(wire.NBD_OPT_GO, infoData(name))]));
  await take(18);
  for (let type = 0; type !== wire.NBD_REP_ACK; ) {
    const head = await take(20);
    type = head.readUInt32BE(12);
    await take(head.readUInt32BE(16));
  }
  return {
    socket,
    take,
    request(type, flags, cookie, offset, length, payload) {
      socket.write(rawRequest(type, flags, cookie, offset, length));
      if (payload !== undefined) socket.write(payload);
    },
  };
}
