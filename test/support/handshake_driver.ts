/** Drives the handshake state machine as a client would: builds options as bytes and takes the replies apart. */

import * as wire from 'node-nbd-server';
import { type ExportInfo, Handshake, type HandshakeOptions } from 'node-nbd-server';

export const DISK: ExportInfo = {
  name: 'disk',
  description: 'first export',
  size: 8 * 1024 * 1024 * 1024,
  flags: wire.NBD_FLAG_HAS_FLAGS | wire.NBD_FLAG_SEND_TRIM | wire.NBD_FLAG_CAN_MULTI_CONN,
  minBlock: 1,
  preferredBlock: 4096,
  maxBlock: wire.NBD_MAX_PAYLOAD,
};
export const OTHER: ExportInfo = { ...DISK, name: 'other', description: '', size: 4096 };

export const FIXED = wire.NBD_FLAG_C_FIXED_NEWSTYLE | wire.NBD_FLAG_C_NO_ZEROES;

export function u16(...values: number[]): Buffer {
  const out = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => {
    out.writeUInt16BE(value, 2 * i);
  });
  return out;
}

export function u32(...values: number[]): Buffer {
  const out = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => {
    out.writeUInt32BE(value, 4 * i);
  });
  return out;
}

/** One option; `length` lies about the length of the data if given. */
export function option(code: number, data: Uint8Array | string = '', length?: number): Buffer {
  const bytes = Buffer.from(data as Uint8Array);
  return Buffer.concat([u32(wire.IHAVEOPT_HI, wire.IHAVEOPT_LO, code, length ?? bytes.length), bytes]);
}

export function infoData(name: string | Buffer, ...infos: number[]): Buffer {
  const bytes = Buffer.from(name as string);
  return Buffer.concat([u32(bytes.length), bytes, u16(infos.length, ...infos)]);
}

export function metaData(name: string, ...queries: string[]): Buffer {
  const parts = queries.map((query) => Buffer.concat([u32(Buffer.byteLength(query)), Buffer.from(query)]));
  return Buffer.concat([u32(Buffer.byteLength(name)), Buffer.from(name), u32(queries.length), ...parts]);
}

export interface Reply {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

export class Driver {
  readonly handshake: Handshake;
  /** Bytes that came back and were not yet taken. */
  out = Buffer.alloc(0);

  constructor(o: Partial<HandshakeOptions> = {}, clientFlags: number = FIXED) {
    this.handshake = new Handshake({
      exports: [DISK, OTHER],
      ...o,
      write: (bytes) => {
        this.out = Buffer.concat([this.out, bytes]);
      },
    });
    this.handshake.start();
    this.out = Buffer.alloc(0);
    this.feed(u32(clientFlags));
  }

  get state(): string {
    return this.handshake.state;
  }

  feed(bytes: Buffer): number {
    return this.handshake.push(bytes, 0, bytes.length);
  }

  /** Sends one option and returns what came back as option replies. */
  ask(code: number, data: Uint8Array | string = '', length?: number): Reply[] {
    this.feed(option(code, data, length));
    return this.replies();
  }

  /** The type of the last reply to an option. */
  verdict(code: number, data: Uint8Array | string = ''): number | undefined {
    return this.ask(code, data).at(-1)?.type;
  }

  /** Takes the output apart; throws if it is not a whole number of option replies. */
  replies(): Reply[] {
    const replies: Reply[] = [];
    let at = 0;
    while (at < this.out.length) {
      if (
        this.out.readUInt32BE(at) !== wire.NBD_REP_MAGIC_HI ||
        this.out.readUInt32BE(at + 4) !== wire.NBD_REP_MAGIC_LO
      ) {
        throw new Error('bad reply magic');
      }
      const end = at + 20 + this.out.readUInt32BE(at + 16);
      if (end > this.out.length) throw new Error('cut reply');
      replies.push({
        option: this.out.readUInt32BE(at + 8),
        type: this.out.readUInt32BE(at + 12),
        data: this.out.subarray(at + 20, end),
      });
      at = end;
    }
    this.out = Buffer.alloc(0);
    return replies;
  }

  /** Whether the stream is still in sync: a list right now works. */
  inSync(): boolean {
    return this.verdict(wire.NBD_OPT_LIST) === wire.NBD_REP_ACK;
  }
}
