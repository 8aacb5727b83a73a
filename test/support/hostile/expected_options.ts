/**
 * What the specification lets a server answer to the handshake of a client, read from the bytes that the client has sent.
 *
 * This reads options anew, and knows nothing of how the server does it. Where a server may choose, it says what ours has
 * chosen and stated in its README: at most 64 KiB of an option, 1024 options, 16 KiB of those whose data matters.
 */
import { isUtf8 } from 'node:buffer';
import type { ExportInfo } from 'node-nbd-server';
import * as wire from 'node-nbd-server';

const MAX_OPTION = 65_536;
const MAX_KEPT = 16_384;
const MAX_OPTIONS = 1024;
const MAX_QUERIES = 64;
const META = 'base:allocation';

/** What an option may be answered with: one of `errors`; or, if there are none, `replies` and an ACK. */
export interface ExpectedOption {
  readonly option: number;
  readonly errors: readonly number[];
  readonly replies: 'none' | 'exports' | 'infos' | 'context' | 'listed';
  readonly info?: ExportInfo;
  readonly structured: boolean;
}

/** What follows what was answered: nothing yet, the transmission phase, or the end with a goodbye or without. */
export type After = 'more' | 'transmission' | 'closed' | 'dropped';

export interface ExpectedHandshake {
  readonly options: readonly ExpectedOption[];
  readonly after: After;
  /** In place of replies to the last option, the answer to EXPORT_NAME, which is as long as this. */
  readonly exportName: number;
  readonly info: ExportInfo | null;
  readonly structured: boolean;
  readonly context: boolean;
  /** Where the transmission phase begins in what the client has sent. */
  readonly at: number;
}

interface Named {
  readonly name: string;
  readonly queries: readonly string[];
}

const INVALID = wire.NBD_REP_ERR_INVALID;

function text(bytes: Buffer): string | null {
  return bytes.length <= wire.NBD_MAX_STRING && !bytes.includes(0) && isUtf8(bytes) ? bytes.toString() : null;
}

/** A string behind its length; null if it is none, or not there. */
function counted(data: Buffer, at: number): { value: string; end: number } | null {
  if (data.length - at < 4) return null;
  const end = at + 4 + data.readUInt32BE(at);
  const value = end > data.length ? null : text(data.subarray(at + 4, end));
  return value === null ? null : { value, end };
}

function readInfo(data: Buffer): Named | number {
  const name = counted(data, 0);
  if (name === null || data.length - name.end < 2) return INVALID;
  return data.length === name.end + 2 + 2 * data.readUInt16BE(name.end) ? { name: name.value, queries: [] } : INVALID;
}

function readMeta(data: Buffer): Named | number {
  const name = counted(data, 0);
  if (name === null || data.length - name.end < 4) return INVALID;
  const count = data.readUInt32BE(name.end);
  if (count > (data.length - name.end - 4) / 4) return INVALID;
  if (count > MAX_QUERIES) return wire.NBD_REP_ERR_TOO_BIG;
  const queries: string[] = [];
  let at = name.end + 4;
  while (queries.length < count) {
    const query = counted(data, at);
    if (query === null) return INVALID;
    queries.push(query.value);
    at = query.end;
  }
  return at === data.length ? { name: name.value, queries } : INVALID;
}

/** Follows the options of one client. */
class Walk {
  readonly options: ExpectedOption[] = [];
  after: After = 'more';
  exportName = 0;
  info: ExportInfo | null = null;
  structured = false;
  #context: ExportInfo | null = null;
  readonly #exports: readonly ExportInfo[];
  readonly #padded: boolean;

  constructor(exports: readonly ExportInfo[], flags: number) {
    this.#exports = exports;
    this.#padded = (flags & wire.NBD_FLAG_C_NO_ZEROES) === 0;
  }

  get context(): boolean {
    return this.info !== null && this.#context === this.info;
  }

  option(option: number, data: Buffer): void {
    const [plain, structured] = [data.length === 0, this.structured];
    const expect = (
      errors: readonly number[],
      replies: ExpectedOption['replies'] = 'none',
      info?: ExportInfo,
    ): void => {
      this.options.push({ option, errors, replies, structured, ...(info === undefined ? {} : { info }) });
    };
    switch (option) {
      case wire.NBD_OPT_EXPORT_NAME:
        this.#enter(this.#find(text(data)));
        this.exportName = this.info === null ? 0 : 10 + (this.#padded ? 124 : 0);
        break;
      case wire.NBD_OPT_ABORT:
        expect([]);
        this.after = 'closed';
        break;
      case wire.NBD_OPT_LIST:
        expect(plain ? [] : [INVALID], 'exports');
        break;
      case wire.NBD_OPT_STARTTLS:
        expect(plain ? [wire.NBD_REP_ERR_POLICY, wire.NBD_REP_ERR_UNSUP] : [INVALID]);
        break;
      case wire.NBD_OPT_STRUCTURED_REPLY:
        expect(plain ? [] : [INVALID]);
        this.structured ||= plain;
        break;
      case wire.NBD_OPT_INFO:
      case wire.NBD_OPT_GO: {
        const found = this.#resolve(data, readInfo);
        if (typeof found === 'number') expect([found]);
        else expect([], 'infos', found.info);
        if (option === wire.NBD_OPT_GO && typeof found !== 'number') this.#enter(found.info);
        break;
      }
      case wire.NBD_OPT_LIST_META_CONTEXT:
      case wire.NBD_OPT_SET_META_CONTEXT:
        this.#meta(option === wire.NBD_OPT_SET_META_CONTEXT, data, expect);
        break;
      default:
        expect([wire.NBD_REP_ERR_UNSUP]);
    }
  }

  #meta(
    select: boolean,
    data: Buffer,
    expect: (errors: readonly number[], replies?: 'context' | 'listed') => void,
  ): void {
    if (select) this.#context = null;
    const found = this.structured ? this.#resolve(data, readMeta) : INVALID;
    if (typeof found === 'number') {
      expect([found]);
      return;
    }
    const { queries } = found.named;
    const any = !select && (queries.length === 0 || queries.includes('base:'));
    if (!any && !queries.includes(META)) {
      expect([]);
      return;
    }
    expect([], select ? 'context' : 'listed');
    if (select) this.#context = found.info;
  }

  #enter(info: ExportInfo | null): void {
    this.info = info;
    this.after = info === null ? 'closed' : 'transmission';
  }

  #find(name: string | null): ExportInfo | null {
    if (name === null) return null;
    return this.#exports.find((info) => info.name === name) ?? (name === '' ? this.#exports[0] : null);
  }

  #resolve(data: Buffer, read: (data: Buffer) => Named | number): { named: Named; info: ExportInfo } | number {
    if (data.length > MAX_KEPT) return wire.NBD_REP_ERR_TOO_BIG;
    const named = read(data);
    if (typeof named === 'number') return named;
    const info = this.#find(named.name);
    return info === null ? wire.NBD_REP_ERR_UNKNOWN : { named, info };
  }
}

/** `sent` is all that the client has sent. */
export function expectHandshake(sent: Buffer, exports: readonly ExportInfo[]): ExpectedHandshake {
  const flags = sent.length < 4 ? 0 : sent.readUInt32BE(0);
  const walk = new Walk(exports, flags);
  if ((flags & ~(wire.NBD_FLAG_C_FIXED_NEWSTYLE | wire.NBD_FLAG_C_NO_ZEROES)) !== 0) walk.after = 'dropped';
  const fixed = (flags & wire.NBD_FLAG_C_FIXED_NEWSTYLE) !== 0;
  let at = 4;
  for (let count = 1; walk.after === 'more' && sent.length - at >= 16; count++) {
    const [hi, lo, option, length] = [0, 4, 8, 12].map((field) => sent.readUInt32BE(at + field));
    const legal = hi === wire.IHAVEOPT_HI && lo === wire.IHAVEOPT_LO && length <= MAX_OPTION && count <= MAX_OPTIONS;
    if (!legal || (!fixed && option !== wire.NBD_OPT_EXPORT_NAME)) walk.after = 'dropped';
    else if (sent.length - at - 16 < length) break;
    else walk.option(option, sent.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  const { options, after, exportName, info, structured, context } = walk;
  return { options, after, exportName, info, structured, context, at };
}
