/** A server that speaks the real handshake and then answers with bytes that a test made up, for broken and rare replies. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import * as wire from 'node-nbd-server';
import { type ExportInfo, Handshake } from 'node-nbd-server';
import type { Test } from 'tap';
import { u16, u32 } from './handshake_driver.ts';
import { tempFolder } from './tmp.ts';

/** Answers the n-th request, whose 8 bytes of cookie are given; what it returns is sent as it is. */
export type Script = (cookie: Buffer, n: number, socket: Socket) => Uint8Array;

export async function startScripted(
  t: Pick<Test, 'teardown'>,
  exports: readonly ExportInfo[],
  script: Script,
): Promise<string> {
  const path = join(tempFolder(t), 'nbd.sock');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // The client under test may hang up at any time; what matters is what it reports.
    socket.on('error', () => socket.destroy());
    const handshake = new Handshake({ exports, write: (bytes) => socket.write(bytes) });
    handshake.start();
    let rest = Buffer.alloc(0);
    let n = 0;
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      rest = rest.subarray(handshake.push(rest, 0, rest.length));
      if (handshake.state === 'closed') socket.end();
      if (handshake.state === 'dropped') socket.destroy();
      while (handshake.state === 'transmission' && rest.length >= wire.NBD_REQUEST_BYTES) {
        if (rest.readUInt16BE(6) === wire.NBD_CMD_DISC) {
          socket.end();
          return;
        }
        socket.write(script(Buffer.from(rest.subarray(8, 16)), n++, socket));
        rest = rest.subarray(wire.NBD_REQUEST_BYTES);
      }
    });
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return path;
}

export function simpleReply(cookie: Buffer, error: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(wire.NBD_SIMPLE_REPLY_MAGIC, error), cookie, data]);
}

export function chunk(cookie: Buffer, type: number, body: Uint8Array = Buffer.alloc(0), done = false): Buffer {
  const flags = done ? wire.NBD_REPLY_FLAG_DONE : 0;
  return Buffer.concat([u32(wire.NBD_STRUCTURED_REPLY_MAGIC), u16(flags, type), cookie, u32(body.length), body]);
}

export const DONE = (cookie: Buffer): Buffer => chunk(cookie, wire.NBD_REPLY_TYPE_NONE, undefined, true);

export const dataChunk = (cookie: Buffer, offset: number, data: Uint8Array): Buffer =>
  chunk(cookie, wire.NBD_REPLY_TYPE_OFFSET_DATA, Buffer.concat([u32(0, offset), data]));

export const holeChunk = (cookie: Buffer, offset: number, length: number): Buffer =>
  chunk(cookie, wire.NBD_REPLY_TYPE_OFFSET_HOLE, u32(0, offset, length));
