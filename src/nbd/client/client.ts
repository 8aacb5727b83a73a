/**
 * A small NBD client for tests and load: pipelined requests with promises over one TCP or unix socket.
 *
 * Invariants:
 * - every accepted request settles: by its reply, or by the loss of the connection, which rejects all of them;
 * - at most `maxInFlight` requests are with the server and at most `maxQueued` wait; further ones are refused with EAGAIN.
 *
 * Payloads are not copied until they are sent, so a caller must leave a buffer alone until its write settled.
 */
import type { Socket } from 'node:net';
import { checkBytes } from '../complaints.ts';
import * as wire from '../wire.ts';
import { checkAddressOptions, checkClientOptions, checkRequest, type NbdClientOptions } from './client_options.ts';
import { EAGAIN, ETIMEDOUT, NbdError } from './error.ts';
import { type ClientNegotiated, type ListedExport, listExports, negotiate, type ServerInfo } from './handshake.ts';
import { type Extent, type NbdReply, type Pending, ReplyParser } from './replies.ts';
import { BatchWriter, DEFAULT_TIMEOUT_MS, type NbdAddress, openSocket, requestHeader } from './socket.ts';

export type { NbdClientOptions } from './client_options.ts';
export { NbdError } from './error.ts';
export type { ListedExport, ServerInfo } from './handshake.ts';
export type { Extent, NbdReply } from './replies.ts';
export type { NbdAddress } from './socket.ts';

export class NbdClient {
  readonly size: number;
  /** Transmission flags of the export. */
  readonly flags: number;
  readonly structured: boolean;
  readonly baseAllocation: boolean;
  readonly info: ServerInfo;
  /** Resolves once the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;

  readonly #socket: Socket;
  readonly #writer: BatchWriter;
  readonly #parser: ReplyParser;
  readonly #pending = new Map<number, Pending>();
  readonly #waiting: Pending[] = [];
  readonly #maxInFlight: number;
  readonly #maxQueued: number;
  readonly #closeTimeoutMs: number;
  #nextCookie = 1;
  #failure: NbdError | null = null;
  #leaving = false;
  #leaveEarly = false;
  #left = false;

  private constructor(socket: Socket, negotiated: ClientNegotiated, o: NbdClientOptions) {
    this.#socket = socket;
    this.#writer = new BatchWriter(socket);
    this.size = negotiated.size;
    this.flags = negotiated.flags;
    this.structured = negotiated.structured;
    this.baseAllocation = negotiated.contextId !== null;
    this.info = negotiated.info;
    this.#maxInFlight = o.maxInFlight ?? 128;
    this.#maxQueued = o.maxQueued ?? 4096;
    this.#closeTimeoutMs = o.closeTimeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#parser = new ReplyParser({
      pending: this.#pending,
      structured: negotiated.structured,
      contextId: negotiated.contextId,
    });
    socket.on('error', (error) => this.#fail(NbdError.lost(`connection failed: ${error.message}`)));
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#fail(NbdError.lost('connection closed'));
        resolve();
      });
    });
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    // It may still take what it is sent, or not: answers come no more, and Node would wait for the one or the other.
    socket.on('end', () => this.#fail(NbdError.lost('server closed the connection')));
    // The handshake read by hand, which leaves the stream paused.
    socket.resume();
  }

  static async connect(o: NbdClientOptions): Promise<NbdClient> {
    checkClientOptions(o);
    const wanted = {
      export: o.export ?? '',
      structured: o.structured ?? true,
      baseAllocation: o.baseAllocation ?? false,
      method: o.method ?? ('go' as const),
      noZeroes: o.noZeroes ?? true,
    };
    const { socket, result } = await openSocket(o, (s) => negotiate(s, wanted));
    return new NbdClient(socket, result, o);
  }

  /** Asks a server for its exports. */
  static async list(o: NbdAddress): Promise<ListedExport[]> {
    checkAddressOptions(o);
    const { socket, result } = await openSocket(o, listExports);
    socket.end(() => socket.destroy());
    return result;
  }

  /** Requests with the server. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /** Requests that wait for a place. */
  get queued(): number {
    return this.#waiting.length;
  }

  async read(offset: number, length: number, o: { df?: boolean } = {}): Promise<Buffer> {
    const reply = await this.request(wire.NBD_CMD_READ, o.df ? wire.NBD_CMD_FLAG_DF : 0, offset, length);
    return reply.data;
  }

  async write(offset: number, data: Uint8Array, o: { fua?: boolean } = {}): Promise<void> {
    checkBytes('data', data);
    await this.request(wire.NBD_CMD_WRITE, o.fua ? wire.NBD_CMD_FLAG_FUA : 0, offset, data.length, data);
  }

  async trim(offset: number, length: number, o: { fua?: boolean } = {}): Promise<void> {
    await this.request(wire.NBD_CMD_TRIM, o.fua ? wire.NBD_CMD_FLAG_FUA : 0, offset, length);
  }

  async writeZeroes(
    offset: number,
    length: number,
    o: { noHole?: boolean; fua?: boolean; fastZero?: boolean } = {},
  ): Promise<void> {
    const flags =
      (o.noHole ? wire.NBD_CMD_FLAG_NO_HOLE : 0) |
      (o.fua ? wire.NBD_CMD_FLAG_FUA : 0) |
      (o.fastZero ? wire.NBD_CMD_FLAG_FAST_ZERO : 0);
    await this.request(wire.NBD_CMD_WRITE_ZEROES, flags, offset, length);
  }

  async flush(): Promise<void> {
    await this.request(wire.NBD_CMD_FLUSH, 0, 0, 0);
  }

  async cache(offset: number, length: number): Promise<void> {
    await this.request(wire.NBD_CMD_CACHE, 0, offset, length);
  }

  /** Allocation of a range; the reply may describe less of it than asked. */
  async blockStatus(offset: number, length: number, o: { reqOne?: boolean } = {}): Promise<readonly Extent[]> {
    if (!this.baseAllocation) throw new NbdError(wire.NBD_EINVAL, 'base:allocation was not negotiated');
    const flags = o.reqOne ? wire.NBD_CMD_FLAG_REQ_ONE : 0;
    const reply = await this.request(wire.NBD_CMD_BLOCK_STATUS, flags, offset, length);
    return reply.extents;
  }

  /**
   * Sends any request, also an illegal one. `length` need not be the length of the payload, which follows the header as
   * it is.
   */
  request(
    type: number,
    flags: number,
    offset: number | bigint,
    length: number,
    payload: Uint8Array | null = null,
  ): Promise<NbdReply> {
    return new Promise((resolve, reject) => {
      checkRequest(type, flags, offset, length);
      if (payload !== null) checkBytes('payload', payload);
      if (this.#failure !== null) throw this.#failure;
      if (this.#leaving) throw NbdError.lost('client is disconnecting');
      const pending: Pending = {
        ...{ type, flags, offset, length, payload, resolve, reject },
        ...{ data: null, covered: [], extents: [], error: null },
      };
      if (this.#pending.size < this.#maxInFlight) {
        this.#send(pending);
      } else if (this.#waiting.length < this.#maxQueued) {
        this.#waiting.push(pending);
      } else {
        throw new NbdError(EAGAIN, `${this.#maxQueued} requests wait already`);
      }
    });
  }

  /** Sends bytes as they are, for tests of broken streams. */
  sendRaw(bytes: Uint8Array): void {
    checkBytes('bytes', bytes);
    this.#writer.push(bytes);
  }

  /**
   * Waits for the replies to everything accepted so far, sends DISC, and resolves when the connection is closed. With
   * `early`, DISC goes out right behind the last request instead; a server may then answer some of them with ESHUTDOWN.
   * Whatever takes longer than `closeTimeoutMs` ends in a destroyed connection.
   */
  async disconnect(o: { early?: boolean } = {}): Promise<void> {
    if (!this.#leaving && this.#failure === null) {
      this.#leaving = true;
      this.#leaveEarly = o.early ?? false;
      this.#advance();
    }
    const deadline = setTimeout(() => {
      this.#fail(new NbdError(ETIMEDOUT, 'server did not close the connection in time'));
    }, this.#closeTimeoutMs);
    await this.closed;
    clearTimeout(deadline);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect();
  }

  /** Ends the connection at once; requests in flight are rejected. */
  destroy(): void {
    this.#fail(NbdError.lost('client destroyed the connection'));
  }

  #send(pending: Pending): void {
    const cookie = this.#nextCookie++;
    this.#pending.set(cookie, pending);
    this.#writer.push(requestHeader(pending.type, pending.flags, cookie, pending.offset, pending.length));
    if (pending.payload !== null && pending.payload.length > 0) this.#writer.push(pending.payload);
  }

  #receive(chunk: Buffer): void {
    if (this.#failure !== null) return;
    try {
      this.#parser.push(chunk);
    } catch (error) {
      this.#fail(error instanceof NbdError ? error : NbdError.protocol(String(error)));
      return;
    }
    this.#advance();
  }

  /** Sends waiting requests into the places that became free; says goodbye when it is time to. */
  #advance(): void {
    while (this.#waiting.length > 0 && this.#pending.size < this.#maxInFlight) this.#send(this.#waiting.shift()!);
    if (!this.#leaving || this.#left || this.#waiting.length > 0) return;
    if (this.#pending.size > 0 && !this.#leaveEarly) return;
    this.#left = true;
    this.#writer.push(requestHeader(wire.NBD_CMD_DISC, 0, 0, 0, 0));
  }

  #fail(failure: NbdError): void {
    if (this.#failure !== null) return;
    this.#failure = failure;
    this.#socket.destroy();
    const lost = [...this.#pending.values(), ...this.#waiting];
    this.#pending.clear();
    this.#waiting.length = 0;
    for (const pending of lost) pending.reject(failure);
  }
}
