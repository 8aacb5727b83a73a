/**
 * The client side of the handshake: greeting, structured replies, metadata context, then GO or EXPORT_NAME; or LIST.
 *
 * Invariant: nothing that a server announces is believed before it is checked. A reply longer than MAX_REPLY bytes, more than
 * MAX_REPLIES of them to one option, or more than MAX_REPLIES_BYTES in all, is an error and not an allocation.
 */
import type { Socket } from 'node:net';
import { BASE_ALLOCATION } from '../server/options.ts';
import * as wire from '../wire.ts';
import { NbdError } from './error.ts';

/** Longest option reply that the client takes, in bytes: two strings of the longest legal length fit easily. */
const MAX_REPLY = 64 * 1024;
/** Most replies that the client takes to one option. */
const MAX_REPLIES = 65536;
const MAX_REPLIES_BYTES = 16 * 1024 * 1024;

/** What the client asks for. */
interface ClientHandshakeOptions {
  readonly export: string;
  readonly structured: boolean;
  readonly baseAllocation: boolean;
  readonly method: 'go' | 'export-name';
  readonly noZeroes: boolean;
}

/** What client and server agreed on. */
export interface ClientNegotiated {
  readonly size: number;
  readonly flags: number;
  readonly structured: boolean;
  /** Id of base:allocation, or null if the server did not select it. */
  readonly contextId: number | null;
  readonly info: ServerInfo;
}

/** What the server told about the export; absent where it told nothing. */
export interface ServerInfo {
  name?: string;
  description?: string;
  minBlock?: number;
  preferredBlock?: number;
  maxBlock?: number;
}

/** One line of a server's list. */
export interface ListedExport {
  readonly name: string;
  readonly description: string;
}

/** Reads exact amounts from a socket; bytes that nobody asked for stay in the socket's own, bounded, buffer. */
class SocketReader {
  readonly #socket: Socket;
  #wake: (() => void) | null = null;
  #failure: Error | null = null;
  readonly #onReadable = (): void => this.#wake?.();
  readonly #onError = (error: Error): void => this.#fail(NbdError.lost(`connection failed: ${error.message}`));
  readonly #onEnd = (): void => this.#fail(NbdError.lost('server closed the connection during the handshake'));

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('readable', this.#onReadable);
    socket.on('error', this.#onError);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onEnd);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  async read(bytes: number): Promise<Buffer> {
    if (bytes === 0) return Buffer.alloc(0);
    for (;;) {
      const got: Buffer | null = this.#socket.read(bytes);
      // At the end of the stream read() returns whatever is left, however little.
      if (got !== null && got.length === bytes) return got;
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }

  release(): void {
    this.#socket.off('readable', this.#onReadable);
    this.#socket.off('error', this.#onError);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onEnd);
  }
}

interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

class OptionDialog {
  readonly #socket: Socket;
  readonly #reader: SocketReader;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#reader = new SocketReader(socket);
  }

  read(bytes: number): Promise<Buffer> {
    return this.#reader.read(bytes);
  }

  release(): void {
    this.#reader.release();
  }

  /** Reads the greeting and answers it; returns whether the server will send no pad bytes. */
  async greet(noZeroes: boolean): Promise<boolean> {
    const greeting = await this.read(18);
    const magic = [0, 4, 8, 12].map((at) => greeting.readUInt32BE(at));
    if (magic[0] !== wire.NBDMAGIC_HI || magic[1] !== wire.NBDMAGIC_LO) throw NbdError.protocol('not an NBD server');
    if (magic[2] !== wire.IHAVEOPT_HI || magic[3] !== wire.IHAVEOPT_LO)
      throw NbdError.protocol('not a newstyle server');
    const flags = greeting.readUInt16BE(16);
    if ((flags & wire.NBD_FLAG_FIXED_NEWSTYLE) === 0) throw NbdError.protocol('server lacks fixed newstyle');
    const short = noZeroes && (flags & wire.NBD_FLAG_NO_ZEROES) !== 0;
    const out = Buffer.alloc(4);
    out.writeUInt32BE(wire.NBD_FLAG_C_FIXED_NEWSTYLE | (short ? wire.NBD_FLAG_C_NO_ZEROES : 0), 0);
    this.#socket.write(out);
    return short;
  }

  send(option: number, data: Buffer): void {
    const head = Buffer.alloc(16);
    head.writeUInt32BE(wire.IHAVEOPT_HI, 0);
    head.writeUInt32BE(wire.IHAVEOPT_LO, 4);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(data.length, 12);
    this.#socket.write(Buffer.concat([head, data]));
  }

  /** Sends an option and collects its replies; the last one is the ACK or the error. */
  async ask(option: number, data: Buffer): Promise<OptionReply[]> {
    this.send(option, data);
    const replies: OptionReply[] = [];
    let bytes = 0;
    for (;;) {
      const head = await this.read(20);
      if (head.readUInt32BE(0) !== wire.NBD_REP_MAGIC_HI || head.readUInt32BE(4) !== wire.NBD_REP_MAGIC_LO) {
        throw NbdError.protocol('bad magic in an option reply');
      }
      if (head.readUInt32BE(8) !== option) throw NbdError.protocol('reply to an option that was not asked');
      const type = head.readUInt32BE(12);
      const length = head.readUInt32BE(16);
      if (length > MAX_REPLY) throw NbdError.protocol(`option reply of ${length} bytes`);
      bytes += length;
      if (replies.length >= MAX_REPLIES || bytes > MAX_REPLIES_BYTES) {
        throw NbdError.protocol('too many replies to one option');
      }
      replies.push({ type, data: await this.read(length) });
      if (type === wire.NBD_REP_ACK || type >= 0x80000000) return replies;
    }
  }
}

/** Says that the client leaves, as it should where it was refused too. Nobody waits for the ACK: the caller closes next. */
function leave(dialog: OptionDialog): void {
  dialog.send(wire.NBD_OPT_ABORT, Buffer.alloc(0));
}

const last = (replies: OptionReply[]): OptionReply => replies[replies.length - 1];

function refused(dialog: OptionDialog, reply: OptionReply, what: string): NbdError {
  leave(dialog);
  const text = reply.data.subarray(0, 256).toString('utf8');
  const code = reply.type === wire.NBD_REP_ERR_SHUTDOWN ? wire.NBD_ESHUTDOWN : wire.NBD_EINVAL;
  return new NbdError(code, `${what} refused (0x${reply.type.toString(16)})${text === '' ? '' : `: ${text}`}`);
}

function u32(value: number): Buffer {
  const out = Buffer.allocUnsafe(4);
  out.writeUInt32BE(value, 0);
  return out;
}

async function askMeta(dialog: OptionDialog, name: Buffer): Promise<number | null> {
  const query = Buffer.from(BASE_ALLOCATION);
  const data = Buffer.concat([u32(name.length), name, u32(1), u32(query.length), query]);
  const replies = await dialog.ask(wire.NBD_OPT_SET_META_CONTEXT, data);
  if (last(replies).type !== wire.NBD_REP_ACK) return null;
  let id: number | null = null;
  for (const { type, data: entry } of replies) {
    if (type !== wire.NBD_REP_META_CONTEXT) continue;
    if (entry.length < 4) throw NbdError.protocol('metadata context without an id');
    if (id !== null || entry.subarray(4).toString('utf8') !== BASE_ALLOCATION) {
      throw NbdError.protocol('metadata context that was not asked for');
    }
    id = entry.readUInt32BE(0);
  }
  return id;
}

function exportSize(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw NbdError.protocol(`export of ${value} bytes`);
  return Number(value);
}

async function go(
  dialog: OptionDialog,
  name: Buffer,
): Promise<{ size: number; flags: number; info: ServerInfo } | null> {
  const tail = Buffer.alloc(8);
  tail.writeUInt16BE(3, 0);
  tail.writeUInt16BE(wire.NBD_INFO_NAME, 2);
  tail.writeUInt16BE(wire.NBD_INFO_DESCRIPTION, 4);
  tail.writeUInt16BE(wire.NBD_INFO_BLOCK_SIZE, 6);
  const replies = await dialog.ask(wire.NBD_OPT_GO, Buffer.concat([u32(name.length), name, tail]));
  const final = last(replies);
  if (final.type === wire.NBD_REP_ERR_UNSUP) return null;
  if (final.type !== wire.NBD_REP_ACK) throw refused(dialog, final, 'export');
  const info: ServerInfo = {};
  let core: { size: number; flags: number } | null = null;
  for (const { type, data } of replies) {
    if (type !== wire.NBD_REP_INFO) continue;
    if (data.length < 2) throw NbdError.protocol('information reply without a type');
    const kind = data.readUInt16BE(0);
    if (kind === wire.NBD_INFO_EXPORT) {
      if (data.length !== 12) throw NbdError.protocol('NBD_INFO_EXPORT of a wrong length');
      core = { size: exportSize(data.readBigUInt64BE(2)), flags: data.readUInt16BE(10) };
    } else if (kind === wire.NBD_INFO_BLOCK_SIZE) {
      if (data.length !== 14) throw NbdError.protocol('NBD_INFO_BLOCK_SIZE of a wrong length');
      info.minBlock = data.readUInt32BE(2);
      info.preferredBlock = data.readUInt32BE(6);
      info.maxBlock = data.readUInt32BE(10);
    } else if (kind === wire.NBD_INFO_NAME) {
      info.name = data.subarray(2).toString('utf8');
    } else if (kind === wire.NBD_INFO_DESCRIPTION) {
      info.description = data.subarray(2).toString('utf8');
    }
  }
  if (core === null) throw NbdError.protocol('no NBD_INFO_EXPORT before the ACK');
  return { ...core, info };
}

/** Runs the handshake up to the transmission phase. */
export async function negotiate(socket: Socket, o: ClientHandshakeOptions): Promise<ClientNegotiated> {
  const dialog = new OptionDialog(socket);
  try {
    const name = Buffer.from(o.export, 'utf8');
    const short = await dialog.greet(o.noZeroes);
    let structured = false;
    let contextId: number | null = null;
    if (o.structured) {
      const replies = await dialog.ask(wire.NBD_OPT_STRUCTURED_REPLY, Buffer.alloc(0));
      structured = last(replies).type === wire.NBD_REP_ACK;
    }
    if (structured && o.baseAllocation) contextId = await askMeta(dialog, name);
    const found = o.method === 'go' ? await go(dialog, name) : null;
    if (found !== null) return { ...found, structured, contextId };
    // An old server without GO, or a caller who wants the oldest way in.
    dialog.send(wire.NBD_OPT_EXPORT_NAME, name);
    const reply = await dialog.read(short ? 10 : 10 + 124);
    if (reply.subarray(10).some((byte) => byte !== 0)) throw NbdError.protocol('pad bytes that are not zero');
    return {
      size: exportSize(reply.readBigUInt64BE(0)),
      flags: reply.readUInt16BE(8),
      structured,
      contextId,
      info: {},
    };
  } finally {
    dialog.release();
  }
}

/** Asks for the list of exports, then leaves politely. */
export async function listExports(socket: Socket): Promise<ListedExport[]> {
  const dialog = new OptionDialog(socket);
  try {
    await dialog.greet(true);
    const replies = await dialog.ask(wire.NBD_OPT_LIST, Buffer.alloc(0));
    if (last(replies).type !== wire.NBD_REP_ACK) throw refused(dialog, last(replies), 'list');
    const listed: ListedExport[] = [];
    for (const { type, data } of replies) {
      if (type !== wire.NBD_REP_SERVER) continue;
      if (data.length < 4 || data.readUInt32BE(0) > data.length - 4) throw NbdError.protocol('bad name in the list');
      const end = 4 + data.readUInt32BE(0);
      listed.push({ name: data.subarray(4, end).toString('utf8'), description: data.subarray(end).toString('utf8') });
    }
    leave(dialog);
    return listed;
  } finally {
    dialog.release();
  }
}
