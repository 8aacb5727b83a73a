/** The replies of one handshake on their way to its client: gathered, counted against its bound, and charged. */
import type { HandshakeOptions } from './handshake_options.ts';
import { boundedUtf8, MAX_ERROR_STRING, optionReply, type Refusal } from './options.ts';

/** Bytes of replies that one handshake may cause; it keeps a client that asks without end from work without end. */
export const MAX_REPLY_BYTES = 8 * 1024 * 1024;
/** What a reply costs, in microseconds, and how many bytes cost one. */
const REPLY_UNITS = 2;
const BYTES_PER_UNIT = 1024;

export class OptionReplies {
  readonly #o: HandshakeOptions;
  #out: Buffer[] = [];
  #total = 0;

  constructor(o: HandshakeOptions) {
    this.#o = o;
  }

  add(option: number, type: number, data: Uint8Array): void {
    this.raw(optionReply(option, type, data));
  }

  refuse(option: number, refusal: Refusal): void {
    this.add(option, refusal.type, boundedUtf8(refusal.why, MAX_ERROR_STRING));
  }

  raw(bytes: Buffer): void {
    this.#out.push(bytes);
  }

  /** Sends what was gathered, in one piece; false if that would be more than the handshake may cause. */
  send(): boolean {
    const out = this.#out;
    if (out.length === 0) return true;
    this.#out = [];
    let bytes = 0;
    for (const reply of out) bytes += reply.length;
    this.#o.pace?.spend(out.length * REPLY_UNITS + bytes / BYTES_PER_UNIT);
    this.#total += bytes;
    if (this.#total > MAX_REPLY_BYTES) return false;
    this.#o.write(out.length === 1 ? out[0] : Buffer.concat(out));
    return true;
  }
}
