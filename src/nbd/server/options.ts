/**
 * The payloads of handshake options: parsing what a client sent, and building what it gets back. Pure functions.
 *
 * Invariant: no length that the client sent is used before it was compared with the bytes really at hand. Lengths are
 * unsigned 32-bit values held in JavaScript numbers, so `length + 1` cannot wrap (the class of CVE-2022-26495).
 */
import { isUtf8 } from 'node:buffer';
import { type ExportInfo, findExport } from '../export_info.ts';
import * as wire from '../wire.ts';

/** The only metadata context that this package knows. */
export const BASE_ALLOCATION = 'base:allocation';
/** The context id of base:allocation in every reply. */
export const BASE_ALLOCATION_ID = 1;

/** Options with a longer payload than this are answered (or refused) without their payload being kept. */
export const MAX_KEPT_PAYLOAD = 16 * 1024;

/** Queries of one LIST_META_CONTEXT or SET_META_CONTEXT. There is one context, so more of them are of no use to anybody. */
const MAX_META_QUERIES = 64;

/** Longest error string that a reply carries, in bytes: nothing that a client sends can make it longer (CVE-2020-10761). */
export const MAX_ERROR_STRING = 256;

/** An option that cannot be answered with success: the reply type and the reason shown to the client. */
export class Refusal {
  readonly type: number;
  readonly why: string;
  constructor(type: number, why: string) {
    this.type = type;
    this.why = why;
  }
}

/** The options whose payload matters. That of all others is swallowed unread, and only its length counts. */
export const OPTIONS_WITH_DATA: ReadonlySet<number> = new Set([
  wire.NBD_OPT_EXPORT_NAME,
  wire.NBD_OPT_INFO,
  wire.NBD_OPT_GO,
  wire.NBD_OPT_LIST_META_CONTEXT,
  wire.NBD_OPT_SET_META_CONTEXT,
]);

/** What INFO and GO ask for. */
interface InfoRequest {
  readonly name: string;
  readonly infos: ReadonlySet<number>;
}

/** What LIST_META_CONTEXT and SET_META_CONTEXT ask for. */
interface MetaRequest {
  readonly name: string;
  readonly queries: readonly string[];
}

/** Reads the string of `length` bytes at `at`; the caller has checked that it lies inside the payload. */
function readString(payload: Buffer, at: number, length: number, what: string): string | Refusal {
  if (length > wire.NBD_MAX_STRING) {
    return new Refusal(wire.NBD_REP_ERR_INVALID, `${what} longer than ${wire.NBD_MAX_STRING} bytes`);
  }
  const bytes = payload.subarray(at, at + length);
  if (bytes.includes(0)) return new Refusal(wire.NBD_REP_ERR_INVALID, `NUL byte in the ${what}`);
  if (!isUtf8(bytes)) return new Refusal(wire.NBD_REP_ERR_INVALID, `${what} is not UTF-8`);
  return bytes.toString('utf8');
}

/** Parses the whole payload of EXPORT_NAME, which is the name alone. */
export function parseExportName(payload: Buffer): string | Refusal {
  return readString(payload, 0, payload.length, 'export name');
}

/** Parses the payload of INFO or GO: name length u32, name, count u16, that many information types u16. */
export function parseInfo(payload: Buffer): InfoRequest | Refusal {
  if (payload.length < 6) return new Refusal(wire.NBD_REP_ERR_INVALID, 'option data too short');
  const nameLength = payload.readUInt32BE(0);
  if (nameLength > payload.length - 6) {
    return new Refusal(wire.NBD_REP_ERR_INVALID, 'name length exceeds the option data');
  }
  const name = readString(payload, 4, nameLength, 'export name');
  if (name instanceof Refusal) return name;
  const count = payload.readUInt16BE(4 + nameLength);
  if (payload.length !== 6 + nameLength + 2 * count) {
    return new Refusal(wire.NBD_REP_ERR_INVALID, 'count of information requests disagrees with the option data');
  }
  const infos = new Set<number>();
  for (let i = 0; i < count; i++) {
    const info = payload.readUInt16BE(6 + nameLength + 2 * i);
    // A request for what nobody knows is ignored, and there may be thousands.
    if (info <= wire.NBD_INFO_BLOCK_SIZE) infos.add(info);
  }
  return { name, infos };
}

/** Parses a LIST/SET_META_CONTEXT payload: name length u32, name, count u32, that many (length u32, query). */
export function parseMeta(payload: Buffer): MetaRequest | Refusal {
  if (payload.length < 8) return new Refusal(wire.NBD_REP_ERR_INVALID, 'option data too short');
  const nameLength = payload.readUInt32BE(0);
  if (nameLength > payload.length - 8) {
    return new Refusal(wire.NBD_REP_ERR_INVALID, 'name length exceeds the option data');
  }
  const name = readString(payload, 4, nameLength, 'export name');
  if (name instanceof Refusal) return name;
  const count = payload.readUInt32BE(4 + nameLength);
  let at = 8 + nameLength;
  if (count > (payload.length - at) / 4) {
    return new Refusal(wire.NBD_REP_ERR_INVALID, 'query count exceeds the option data');
  }
  if (count > MAX_META_QUERIES) return new Refusal(wire.NBD_REP_ERR_TOO_BIG, `more than ${MAX_META_QUERIES} queries`);
  const queries: string[] = [];
  for (let i = 0; i < count; i++) {
    if (payload.length - at < 4) return new Refusal(wire.NBD_REP_ERR_INVALID, 'query count exceeds the option data');
    const length = payload.readUInt32BE(at);
    at += 4;
    if (length > payload.length - at)
      return new Refusal(wire.NBD_REP_ERR_INVALID, 'query length exceeds the option data');
    const query = readString(payload, at, length, 'query');
    if (query instanceof Refusal) return query;
    queries.push(query);
    at += length;
  }
  if (at !== payload.length) return new Refusal(wire.NBD_REP_ERR_INVALID, 'data after the last query');
  return { name, queries };
}

/**
 * Parses an option that names an export, finds that export, and opens it if it is to be opened. A null payload is one that
 * was too long to keep. The name in the error string is cut, as a legal name can be far longer than a legal error string.
 */
export function resolveExport<T extends { readonly name: string }>(
  exports: readonly ExportInfo[],
  payload: Buffer | null,
  parse: (payload: Buffer) => T | Refusal,
  open: (info: ExportInfo) => string | null = () => null,
): { readonly request: T; readonly info: ExportInfo } | Refusal {
  if (payload === null)
    return new Refusal(wire.NBD_REP_ERR_TOO_BIG, `option data longer than ${MAX_KEPT_PAYLOAD} bytes`);
  const request = parse(payload);
  if (request instanceof Refusal) return request;
  const info = findExport(exports, request.name);
  if (info === null) {
    return new Refusal(wire.NBD_REP_ERR_UNKNOWN, `no export ${JSON.stringify(request.name.slice(0, 64))}`);
  }
  const why = open(info);
  return why === null ? { request, info } : new Refusal(wire.NBD_REP_ERR_UNKNOWN, why);
}

/** Whether the queries match base:allocation. Only a listing treats an empty list and `base:` as wildcards. */
export function matchesBaseAllocation(queries: readonly string[], listing: boolean): boolean {
  if (queries.includes(BASE_ALLOCATION)) return true;
  return listing && (queries.length === 0 || queries.includes('base:'));
}

/** Builds what a server says first. */
export function greeting(): Buffer {
  const out = Buffer.allocUnsafe(18);
  out.writeUInt32BE(wire.NBDMAGIC_HI, 0);
  out.writeUInt32BE(wire.NBDMAGIC_LO, 4);
  out.writeUInt32BE(wire.IHAVEOPT_HI, 8);
  out.writeUInt32BE(wire.IHAVEOPT_LO, 12);
  out.writeUInt16BE(wire.NBD_FLAG_FIXED_NEWSTYLE | wire.NBD_FLAG_NO_ZEROES, 16);
  return out;
}

/** The transmission flags of an export. DF makes sense only with structured replies. */
export function exportFlags(info: ExportInfo, structured: boolean): number {
  const flags = (info.flags | wire.NBD_FLAG_HAS_FLAGS) & ~wire.NBD_FLAG_SEND_DF;
  return structured ? flags | wire.NBD_FLAG_SEND_DF : flags;
}

/** Builds the answer to EXPORT_NAME, which has no reply header and ends in 124 zeroes unless these were negotiated off. */
export function exportNameReply(size: number, flags: number, noZeroes: boolean): Buffer {
  const out = Buffer.alloc(noZeroes ? 10 : 10 + 124);
  out.writeBigUInt64BE(BigInt(size), 0);
  out.writeUInt16BE(flags, 8);
  return out;
}

/** Builds one option reply. */
export function optionReply(option: number, type: number, data: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(20 + data.length);
  out.writeUInt32BE(wire.NBD_REP_MAGIC_HI, 0);
  out.writeUInt32BE(wire.NBD_REP_MAGIC_LO, 4);
  out.writeUInt32BE(option, 8);
  out.writeUInt32BE(type, 12);
  out.writeUInt32BE(data.length, 16);
  out.set(data, 20);
  return out;
}

/** Encodes a string in at most `limit` bytes, cut between characters. */
export function boundedUtf8(text: string, limit: number): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= limit) return bytes;
  let end = limit;
  // 0b10xxxxxx continues a character, so a cut in front of such a byte would split it.
  while (end > 0 && (bytes[end] & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

/** Builds the data of an NBD_REP_SERVER reply. */
export function serverEntry(info: ExportInfo): Buffer {
  const name = Buffer.from(info.name, 'utf8');
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(name.length, 0);
  return Buffer.concat([length, name, boundedUtf8(info.description, wire.NBD_MAX_STRING)]);
}

/** Builds the data of an NBD_REP_META_CONTEXT reply for base:allocation. */
export function baseAllocationEntry(id: number): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(id, 0);
  return Buffer.concat([head, Buffer.from(BASE_ALLOCATION)]);
}

/** Builds the data of the NBD_REP_INFO replies to INFO and GO, NBD_INFO_EXPORT first. */
export function infoEntries(info: ExportInfo, flags: number, asked: ReadonlySet<number>): Buffer[] {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(wire.NBD_INFO_EXPORT, 0);
  head.writeBigUInt64BE(BigInt(info.size), 2);
  head.writeUInt16BE(flags, 10);
  const entries: Buffer[] = [head];
  const text = (type: number, value: string): Buffer => {
    const prefix = Buffer.allocUnsafe(2);
    prefix.writeUInt16BE(type, 0);
    return Buffer.concat([prefix, boundedUtf8(value, wire.NBD_MAX_STRING)]);
  };
  if (asked.has(wire.NBD_INFO_NAME)) entries.push(text(wire.NBD_INFO_NAME, info.name));
  if (asked.has(wire.NBD_INFO_DESCRIPTION) && info.description !== '') {
    entries.push(text(wire.NBD_INFO_DESCRIPTION, info.description));
  }
  // Limits that differ from what a client assumes by itself have to be told even to a client that did not ask.
  const unusual = info.minBlock > 1 || info.maxBlock < wire.NBD_MAX_PAYLOAD;
  if (unusual || asked.has(wire.NBD_INFO_BLOCK_SIZE)) {
    const block = Buffer.allocUnsafe(14);
    block.writeUInt16BE(wire.NBD_INFO_BLOCK_SIZE, 0);
    block.writeUInt32BE(info.minBlock, 2);
    block.writeUInt32BE(info.preferredBlock, 6);
    block.writeUInt32BE(info.maxBlock, 10);
    entries.push(block);
  }
  return entries;
}
