/**
 * The server side of the fixed-newstyle handshake as a pure state machine: bytes in, bytes out, no socket and no clock.
 *
 * Invariants:
 * - memory held for a client is one 16-byte header and one payload of at most MAX_KEPT_PAYLOAD bytes, whatever lengths
 *   the client announces;
 * - every option that is answered has its whole payload consumed first, so the stream stays in sync after any error;
 * - the work one connection can ask for is bounded by MAX_OPTIONS options and MAX_REPLY_BYTES bytes of replies.
 *
 * A deadline for the whole handshake is the business of whoever owns the socket.
 */
import { type ExportInfo, findExport } from './export_info.ts';
import {
  BASE_ALLOCATION_ID,
  baseAllocationEntry,
  boundedUtf8,
  exportNameReply,
  greeting,
  infoEntries,
  MAX_ERROR_STRING,
  MAX_KEPT_PAYLOAD,
  matchesBaseAllocation,
  OPTIONS_WITH_DATA,
  optionReply,
  parseExportName,
  parseInfo,
  parseMeta,
  Refusal,
  resolveExport,
  serverEntry,
} from './options.ts';
import * as wire from './wire.ts';

export { checkExports, type ExportInfo } from './export_info.ts';
export { BASE_ALLOCATION, BASE_ALLOCATION_ID } from './options.ts';

/** Options that announce a longer payload than this end the connection instead of being swallowed. */
export const MAX_OPTION_PAYLOAD = 64 * 1024;
/** Options that one connection may send. */
export const MAX_OPTIONS = 1024;
/** Bytes of replies that one handshake may cause; it keeps a client that never reads from filling the memory. */
export const MAX_REPLY_BYTES = 8 * 1024 * 1024;

/** What the transmission phase needs to know. */
export interface Negotiated {
  readonly export: ExportInfo;
  readonly structured: boolean;
  /** Whether base:allocation is selected for this export; its context id is BASE_ALLOCATION_ID. */
  readonly baseAllocation: boolean;
}

/** `closed`: end the socket once the output is flushed. `dropped`: destroy it now. */
export type HandshakeState = 'options' | 'transmission' | 'closed' | 'dropped';

export interface HandshakeOptions {
  /** The first export is the default one, chosen by an empty name. `checkExports` tells whether the list is valid. */
  readonly exports: readonly ExportInfo[];
  readonly write: (bytes: Uint8Array) => void;
  /** Whether the server is stopping; then nothing but ABORT succeeds. */
  readonly stopping?: () => boolean;
  /** Whether NBD_OPT_LIST may show the exports; yes unless set to false. */
  readonly listing?: boolean;
}

type Stage = 'flags' | 'header' | 'data';

export class Handshake {
  state: HandshakeState = 'options';
  negotiated: Negotiated | null = null;

  readonly #o: HandshakeOptions;
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
  #replyBytes = 0;
  #out: Buffer[] = [];

  constructor(o: HandshakeOptions) {
    this.#o = o;
  }

  /** Sends the greeting. */
  start(): void {
    this.#o.write(greeting());
  }

  /**
   * Takes the bytes [from, to) of `buf` and returns the index of the first one that is not part of the handshake. What
   * follows belongs to the transmission phase, or to nobody once the state is 'closed' or 'dropped'.
   */
  push(buf: Uint8Array, from: number, to: number): number {
    let at = from;
    while (this.state === 'options' && at < to) {
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
    const out = this.#out;
    this.#out = [];
    for (const bytes of out) this.#replyBytes += bytes.length;
    if (this.#replyBytes > MAX_REPLY_BYTES) {
      this.state = 'dropped';
      this.negotiated = null;
    } else if (out.length > 0) {
      this.#o.write(out.length === 1 ? out[0] : Buffer.concat(out));
    }
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
    if (this.#stopping()) {
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
    const info = typeof name === 'string' && !this.#stopping() ? findExport(this.#o.exports, name) : null;
    if (info === null) {
      // This option has no error reply: all that can be said is goodbye.
      this.state = 'closed';
      return;
    }
    this.#out.push(exportNameReply(info.size, this.#flags(info), this.#noZeroes));
    this.#enterTransmission(info);
  }

  #list(): void {
    if (!this.#noData()) return;
    if (this.#o.listing === false) {
      this.#refuse(new Refusal(wire.NBD_REP_ERR_POLICY, 'listing is not allowed'));
      return;
    }
    for (const info of this.#o.exports) this.#reply(wire.NBD_REP_SERVER, serverEntry(info));
    this.#reply(wire.NBD_REP_ACK);
  }

  #infoOrGo(option: number, payload: Buffer | null): void {
    const found = resolveExport(this.#o.exports, payload, parseInfo);
    if (found instanceof Refusal) {
      this.#refuse(found);
      return;
    }
    const { request, info } = found;
    for (const entry of infoEntries(info, this.#flags(info), request.infos)) this.#reply(wire.NBD_REP_INFO, entry);
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

  #flags(info: ExportInfo): number {
    const flags = (info.flags | wire.NBD_FLAG_HAS_FLAGS) & ~wire.NBD_FLAG_SEND_DF;
    return this.#structured ? flags | wire.NBD_FLAG_SEND_DF : flags;
  }

  #stopping(): boolean {
    return this.#o.stopping?.() ?? false;
  }

  /** Refuses an option that must come without data if it came with some. */
  #noData(): boolean {
    if (this.#length === 0) return true;
    this.#refuse(new Refusal(wire.NBD_REP_ERR_INVALID, 'option takes no data'));
    return false;
  }

  #refuse(refusal: Refusal): void {
    this.#reply(refusal.type, boundedUtf8(refusal.why, MAX_ERROR_STRING));
  }

  #reply(type: number, data: Uint8Array = Buffer.alloc(0)): void {
    this.#out.push(optionReply(this.#option, type, data));
  }
}
