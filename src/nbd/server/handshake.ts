/**
 * The server side of the fixed-newstyle handshake as a pure state machine: bytes in, bytes out, no socket and no clock.
 *
 * Invariants:
 * - memory held for a client is one 16-byte header and one payload of at most MAX_KEPT_PAYLOAD bytes, whatever lengths
 *   the client announces;
 * - every option that is answered has its whole payload consumed first, so the stream stays in sync after any error;
 * - the work one connection can ask for is bounded by MAX_OPTIONS options and MAX_REPLY_BYTES bytes of replies.
 * A deadline for the whole handshake is the business of whoever owns the socket.
 */
import { type ExportInfo, findExport } from '../export_info.ts';
import * as wire from '../wire.ts';
import {
  type HandshakeOptions,
  type HandshakeState,
  MAX_OPTION_PAYLOAD,
  MAX_OPTIONS,
  type Negotiated,
} from './handshake_options.ts';
import { OptionReplies } from './option_replies.ts';
import {
  BASE_ALLOCATION_ID,
  baseAllocationEntry,
  exportFlags,
  exportNameReply,
  greeting,
  infoEntries,
  MAX_KEPT_PAYLOAD,
  matchesBaseAllocation,
  OPTIONS_WITH_DATA,
  parseExportName,
  parseInfo,
  parseMeta,
  Refusal,
  resolveExport,
  serverEntry,
} from './options.ts';

export { checkExports, type ExportInfo } from '../export_info.ts';
export * from './handshake_options.ts';
export { MAX_REPLY_BYTES } from './option_replies.ts';
export { BASE_ALLOCATION, BASE_ALLOCATION_ID } from './options.ts';

/** Exports that a list shows between two questions whether it may go on: 128 KiB at most. */
const LIST_PART = 16;
/** What an option costs, in microseconds, and how many bytes of it cost one. */
const OPTION_UNITS = 8;
const BYTES_PER_UNIT = 1024;

type Stage = 'flags' | 'header' | 'data';

export class Handshake {
  state: HandshakeState = 'options';
  negotiated: Negotiated | null = null;

  readonly #o: HandshakeOptions & Required<Pick<HandshakeOptions, 'stopping' | 'open'>>;
  readonly #head = Buffer.alloc(16);
  #stage: Stage = 'flags';
  /** Where the bytes of the current piece go; null while swallowing. */
  #piece: Buffer | null = this.#head.subarray(0, 4);
  #missing = 4;
  #option = 0;
  #length = 0;
  #fixed = false;
  #noZeroes = false;
  #structured = false;
  /** The export for which SET_META_CONTEXT selected base:allocation. */
  #metaExport: ExportInfo | null = null;
  #optionCount = 0;
  /** The export that the list under way shows next; -1 if there is none. */
  #listed = -1;
  readonly #replies: OptionReplies;

  constructor(o: HandshakeOptions) {
    this.#o = { stopping: () => false, open: () => null, ...o };
    this.#replies = new OptionReplies(o);
  }

  /** Sends the greeting. */
  start(): void {
    this.#o.write(greeting());
  }

  /** Whether an answer is under way: `push` goes on with it, with or without bytes. */
  get answering(): boolean {
    return this.#listed >= 0;
  }

  /**
   * Takes the bytes [from, to) of `buf` and returns the index of the first one that is not part of the handshake. What
   * follows belongs to the transmission phase, or to nobody once the state is 'closed' or 'dropped'. If the state is still
   * 'options', `pace` said that it may not go on: call again with the rest.
   */
  push(buf: Uint8Array, from: number, to: number): number {
    let at = from;
    while (this.state === 'options' && (this.#o.pace?.mayGoOn ?? true)) {
      if (this.answering) {
        this.#listOn();
        continue;
      }
      if (at === to) break;
      const taken = Math.min(this.#missing, to - at);
      if (this.#piece !== null) {
        this.#piece.set(buf.subarray(at, at + taken), this.#piece.length - this.#missing);
      }
      at += taken;
      this.#missing -= taken;
      if (this.#missing === 0) this.#pieceDone();
    }
    return at;
  }

  #pieceDone(): void {
    if (this.#stage === 'flags') this.#clientFlags(this.#head.readUInt32BE(0));
    else if (this.#stage === 'header') this.#optionHeader();
    else this.#optionDone();
  }

  #expect(stage: Stage, piece: Buffer | null, bytes: number): void {
    this.#stage = stage;
    this.#piece = piece;
    this.#missing = bytes;
  }

  #clientFlags(flags: number): void {
    const known = wire.NBD_FLAG_C_FIXED_NEWSTYLE | wire.NBD_FLAG_C_NO_ZEROES;
    if ((flags & ~known) !== 0) {
      this.state = 'dropped';
      return;
    }
    this.#fixed = (flags & wire.NBD_FLAG_C_FIXED_NEWSTYLE) !== 0;
    this.#noZeroes = (flags & wire.NBD_FLAG_C_NO_ZEROES) !== 0;
    this.#expect('header', this.#head, 16);
  }

  #optionHeader(): void {
    const head = this.#head;
    this.#option = head.readUInt32BE(8);
    this.#length = head.readUInt32BE(12);
    if (
      head.readUInt32BE(0) !== wire.IHAVEOPT_HI ||
      head.readUInt32BE(4) !== wire.IHAVEOPT_LO ||
      ++this.#optionCount > MAX_OPTIONS ||
      this.#length > MAX_OPTION_PAYLOAD ||
      // Without fixed newstyle a client does not know how to read any reply but the one to EXPORT_NAME.
      (!this.#fixed && this.#option !== wire.NBD_OPT_EXPORT_NAME)
    ) {
      this.state = 'dropped';
      return;
    }
    const keep = OPTIONS_WITH_DATA.has(this.#option) && this.#length <= MAX_KEPT_PAYLOAD;
    this.#expect('data', keep ? Buffer.alloc(this.#length) : null, this.#length);
    if (this.#length === 0) this.#optionDone();
  }

  #optionDone(): void {
    const payload = this.#piece;
    this.#expect('header', this.#head, 16);
    this.#answer(this.#option, payload);
    this.#o.pace?.spend(OPTION_UNITS + this.#length / BYTES_PER_UNIT);
    this.#send();
  }

  #send(): void {
    if (this.#replies.send()) return;
    this.state = 'dropped';
    this.negotiated = null;
  }

  #answer(option: number, payload: Buffer | null): void {
    if (option === wire.NBD_OPT_ABORT) {
      this.#reply(wire.NBD_REP_ACK);
      this.state = 'closed';
      return;
    }
    if (option === wire.NBD_OPT_EXPORT_NAME) {
      this.#exportName(payload);
      return;
    }
    if (this.#o.stopping()) {
      this.#refuse(new Refusal(wire.NBD_REP_ERR_SHUTDOWN, 'server is stopping'));
      return;
    }
    switch (option) {
      case wire.NBD_OPT_LIST:
        this.#list();
        break;
      case wire.NBD_OPT_STARTTLS:
        if (this.#noData()) this.#refuse(new Refusal(wire.NBD_REP_ERR_POLICY, 'TLS is not offered'));
        break;
      case wire.NBD_OPT_INFO:
      case wire.NBD_OPT_GO:
        this.#infoOrGo(option, payload);
        break;
      case wire.NBD_OPT_STRUCTURED_REPLY:
        if (this.#noData()) {
          this.#structured = true;
          this.#reply(wire.NBD_REP_ACK);
        }
        break;
      case wire.NBD_OPT_LIST_META_CONTEXT:
      case wire.NBD_OPT_SET_META_CONTEXT:
        this.#metaContext(option, payload);
        break;
      default:
        // PEEK_EXPORT, EXTENDED_HEADERS, and everything that this package has never heard of.
        this.#refuse(new Refusal(wire.NBD_REP_ERR_UNSUP, 'option not supported'));
    }
  }

  #exportName(payload: Buffer | null): void {
    const name = payload === null ? null : parseExportName(payload);
    const info = typeof name === 'string' && !this.#o.stopping() ? findExport(this.#o.exports, name) : null;
    if (info === null || this.#o.open(info) !== null) {
      // This option has no error reply: all that can be said is goodbye.
      this.state = 'closed';
      return;
    }
    this.#replies.raw(exportNameReply(info.size, exportFlags(info, this.#structured), this.#noZeroes));
    this.#enterTransmission(info);
  }

  #list(): void {
    if (!this.#noData()) return;
    if (this.#o.listing === false) {
      this.#refuse(new Refusal(wire.NBD_REP_ERR_POLICY, 'listing is not allowed'));
      return;
    }
    this.#listed = 0;
  }

  #listOn(): void {
    const { exports } = this.#o;
    const end = Math.min(exports.length, this.#listed + LIST_PART);
    while (this.#listed < end) this.#reply(wire.NBD_REP_SERVER, serverEntry(exports[this.#listed++]));
    if (this.#listed === exports.length) {
      this.#reply(wire.NBD_REP_ACK);
      this.#listed = -1;
    }
    this.#send();
  }

  #infoOrGo(option: number, payload: Buffer | null): void {
    const open = option === wire.NBD_OPT_GO ? this.#o.open : undefined;
    const found = resolveExport(this.#o.exports, payload, parseInfo, open);
    if (found instanceof Refusal) {
      this.#refuse(found);
      return;
    }
    const { request, info } = found;
    for (const entry of infoEntries(info, exportFlags(info, this.#structured), request.infos))
      this.#reply(wire.NBD_REP_INFO, entry);
    this.#reply(wire.NBD_REP_ACK);
    if (option === wire.NBD_OPT_GO) this.#enterTransmission(info);
  }

  #metaContext(option: number, payload: Buffer | null): void {
    const listing = option === wire.NBD_OPT_LIST_META_CONTEXT;
    // A new selection replaces the old one even if it fails.
    if (!listing) this.#metaExport = null;
    if (!this.#structured) {
      this.#refuse(new Refusal(wire.NBD_REP_ERR_INVALID, 'structured replies are not negotiated'));
      return;
    }
    const found = resolveExport(this.#o.exports, payload, parseMeta);
    if (found instanceof Refusal) {
      this.#refuse(found);
      return;
    }
    if (matchesBaseAllocation(found.request.queries, listing)) {
      // In a listing the id means nothing and is sent as zero.
      this.#reply(wire.NBD_REP_META_CONTEXT, baseAllocationEntry(listing ? 0 : BASE_ALLOCATION_ID));
      if (!listing) this.#metaExport = found.info;
    }
    this.#reply(wire.NBD_REP_ACK);
  }

  #enterTransmission(info: ExportInfo): void {
    this.negotiated = { export: info, structured: this.#structured, baseAllocation: this.#metaExport === info };
    this.state = 'transmission';
  }

  /** Refuses an option that must come without data if it came with some. */
  #noData(): boolean {
    if (this.#length === 0) return true;
    this.#refuse(new Refusal(wire.NBD_REP_ERR_INVALID, 'option takes no data'));
    return false;
  }

  #refuse(refusal: Refusal): void {
    this.#replies.refuse(this.#option, refusal);
  }

  #reply(type: number, data: Uint8Array = Buffer.alloc(0)): void {
    this.#replies.add(this.#option, type, data);
  }
}
