/**
 * Holds what a server answers, byte for byte, against what it is expected to: fed as the bytes come, it knows at each moment
 * whether all has come that is owed, and stops at the first thing that the specification forbids.
 */
import { isUtf8 } from 'node:buffer';
import type { ExportInfo } from 'node-nbd-server';
import * as wire from 'node-nbd-server';
import type { ExpectedHandshake, ExpectedOption } from './expected_options.ts';
import type { ExpectedRequest, ExpectedRequests } from './expected_requests.ts';
import { Forbidden, must, type Reading } from './forbidden.ts';
import { SimpleReplies, StructuredReplies } from './transmission_check.ts';

const GREETING = 'NBDMAGICIHAVEOPT\0\x03';
const MAX_TEXT = 4096;

export class ReplyCheck {
  /** What is wrong; null as long as nothing is. */
  problem: string | null = null;
  /** Whether all has come that is owed. */
  complete = false;
  /** Bytes that came. */
  total = 0;
  readonly #chunks: Buffer[] = [];
  #have = 0;
  #wanted = 0;
  readonly #reading: Reading;

  constructor(exports: readonly ExportInfo[], handshake: ExpectedHandshake, requests: ExpectedRequests | null) {
    this.#reading = this.#all(exports, handshake, requests?.requests ?? []);
    this.#step(Buffer.alloc(0));
  }

  feed(bytes: Buffer): void {
    this.total += bytes.length;
    if (this.problem !== null) return;
    if (this.complete) {
      this.problem = `${bytes.length} bytes that nobody has asked for`;
      return;
    }
    this.#chunks.push(bytes);
    this.#have += bytes.length;
    while (this.problem === null && !this.complete && this.#have >= this.#wanted) {
      const all = Buffer.concat(this.#chunks.splice(0));
      const rest = all.subarray(this.#wanted);
      this.#have = rest.length;
      if (rest.length > 0) this.#chunks.push(rest);
      this.#step(all.subarray(0, this.#wanted));
    }
    if (this.complete && this.#have > 0) this.problem ??= `${this.#have} bytes too many`;
  }

  #step(bytes: Buffer): void {
    try {
      const { value, done } = this.#reading.next(bytes);
      this.complete = done === true;
      this.#wanted = value ?? 0;
    } catch (error) {
      if (!(error instanceof Forbidden)) throw error;
      this.problem = error.message;
    }
  }

  *#all(exports: readonly ExportInfo[], h: ExpectedHandshake, requests: readonly ExpectedRequest[]): Reading {
    const greeting: Buffer = yield GREETING.length;
    must(greeting.toString('latin1') === GREETING, 'another greeting');
    for (const option of h.options) yield* optionReplies(exports, option);
    if (h.exportName > 0) {
      const head: Buffer = yield h.exportName;
      checkExport(h.info!, h.structured, head.readBigUInt64BE(0), head.readUInt16BE(8));
      must(
        head.subarray(10).every((byte) => byte === 0),
        'pad bytes that are not zero',
      );
    }
    const replies = h.structured ? new StructuredReplies(requests) : new SimpleReplies(requests);
    yield* replies.read();
  }
}

function checkExport(info: ExportInfo, structured: boolean, size: bigint, flags: number): void {
  must(size === BigInt(info.size), `a size of ${size}`);
  must(flags === (info.flags | (structured ? wire.NBD_FLAG_SEND_DF : 0)), `transmission flags of ${flags}`);
}

function isText(data: Buffer): boolean {
  return data.length <= MAX_TEXT && isUtf8(data);
}

function* optionReplies(exports: readonly ExportInfo[], expected: ExpectedOption): Reading {
  const seen: Buffer[] = [];
  for (;;) {
    const head: Buffer = yield 20;
    const [hi, lo, option, type, length] = [0, 4, 8, 12, 16].map((at) => head.readUInt32BE(at));
    must(hi === wire.NBD_REP_MAGIC_HI && lo === wire.NBD_REP_MAGIC_LO, 'no magic in front of an option reply');
    must(option === expected.option, `a reply to option ${option} in place of ${expected.option}`);
    must(length <= MAX_TEXT + 6, `a reply of ${length} bytes`);
    const data: Buffer = length === 0 ? Buffer.alloc(0) : yield length;
    if (type >= 0x80000000) {
      must(expected.errors.includes(type), `error ${type - 0x80000000} to option ${option}`);
      must(seen.length === 0, 'an error behind other replies');
      must(isText(data), 'an error whose reason is no text');
      return;
    }
    must(expected.errors.length === 0, `reply ${type} to option ${option}, which has to fail`);
    if (type === wire.NBD_REP_ACK) {
      must(data.length === 0, 'an ACK with data');
      checkSeen(exports, expected, seen);
      return;
    }
    must(type === TYPES[expected.replies], `reply ${type} to option ${option}`);
    seen.push(data);
  }
}

const TYPES = {
  none: -1,
  exports: wire.NBD_REP_SERVER,
  infos: wire.NBD_REP_INFO,
  context: wire.NBD_REP_META_CONTEXT,
  listed: wire.NBD_REP_META_CONTEXT,
};

/** All the replies of an option that ends in ACK. */
function checkSeen(
  exports: readonly ExportInfo[],
  { replies, info, structured }: ExpectedOption,
  seen: Buffer[],
): void {
  if (replies === 'exports') {
    const names = seen.map((data) => data.toString('utf8', 4, 4 + data.readUInt32BE(0)));
    must(names.join('/') === exports.map(({ name }) => name).join('/'), `exports ${names.join('/')}`);
  } else if (replies === 'context' || replies === 'listed') {
    must(seen.length === 1 && seen[0].toString('latin1', 4) === 'base:allocation', 'another context');
  } else if (replies === 'infos') {
    const types = seen.map((data) => data.readUInt16BE(0));
    must(new Set(types).size === types.length, 'an information twice');
    const main = seen[types.indexOf(wire.NBD_INFO_EXPORT)];
    must(main?.length === 12, 'no NBD_INFO_EXPORT');
    checkExport(info!, structured, main.readBigUInt64BE(2), main.readUInt16BE(10));
    const block = seen[types.indexOf(wire.NBD_INFO_BLOCK_SIZE)];
    const unusual = info!.minBlock > 1 || info!.maxBlock < wire.NBD_MAX_PAYLOAD;
    must(block !== undefined || !unusual, 'nothing of block sizes');
    const sizes = block === undefined ? [] : [2, 6, 10].map((at) => block.readUInt32BE(at));
    const { minBlock, preferredBlock, maxBlock } = info!;
    must(block === undefined || sizes.join() === [minBlock, preferredBlock, maxBlock].join(), `block sizes ${sizes}`);
  }
}
