/**
 * What a server tells about an export, the rules such a description obeys, and how a name finds one.
 */
import { NBD_MAX_STRING } from './wire.ts';

/** One export as the handshake shows it. */
export interface ExportInfo {
  readonly name: string;
  readonly description: string;
  /** Size in bytes. */
  readonly size: number;
  /** Transmission flags without NBD_FLAG_SEND_DF, which depends on what the connection negotiates. */
  readonly flags: number;
  readonly minBlock: number;
  readonly preferredBlock: number;
  readonly maxBlock: number;
}

/** Finds an export by name; an empty name that no export bears means the first one. */
export function findExport(exports: readonly ExportInfo[], name: string): ExportInfo | null {
  return exports.find((info) => info.name === name) ?? (name === '' ? (exports[0] ?? null) : null);
}

const powerOfTwo = (value: number): boolean =>
  Number.isInteger(value) && value > 0 && Number.isInteger(Math.log2(value));

/** Checks a list of exports against the limits of the protocol; throws RangeError. Meant to run once, at start-up. */
export function checkExports(exports: readonly ExportInfo[]): void {
  const seen = new Set<string>();
  for (const info of exports) {
    const complain = (why: string): never => {
      throw new RangeError(`export ${JSON.stringify(info.name)}: ${why}`);
    };
    for (const [what, value] of [
      ['name', info.name],
      ['description', info.description],
    ] as const) {
      if (!value.isWellFormed() || value.includes('\0')) complain(`${what} is not valid text`);
      if (Buffer.byteLength(value) > NBD_MAX_STRING) complain(`${what} is longer than ${NBD_MAX_STRING} bytes`);
    }
    if (seen.has(info.name)) complain('name used twice');
    seen.add(info.name);
    if (!Number.isSafeInteger(info.size) || info.size < 0) complain('size is not a whole number of bytes');
    if (!Number.isInteger(info.flags) || info.flags < 0 || info.flags > 0xffff) complain('flags do not fit 16 bits');
    if (!powerOfTwo(info.minBlock) || info.minBlock > 65536) complain('minBlock is no power of two up to 65536');
    if (!powerOfTwo(info.preferredBlock) || info.preferredBlock < Math.max(info.minBlock, 512)) {
      complain('preferredBlock is no power of two of at least minBlock and 512');
    }
    if (!Number.isInteger(info.maxBlock) || info.maxBlock < info.preferredBlock || info.maxBlock > 0xffffffff) {
      complain('maxBlock is not between preferredBlock and 2^32-1');
    }
  }
}
