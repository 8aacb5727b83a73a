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
    const need = (good: boolean, what: keyof ExportInfo, wanted: string): void => {
      if (!good) complain(`${what} is ${String(info[what])}, and has to be ${wanted}`);
    };
    for (const what of ['name', 'description'] as const) {
      const value: unknown = info[what];
      if (typeof value !== 'string') need(false, what, 'text');
      else if (!value.isWellFormed() || value.includes('\0')) complain(`${what} is not valid text`);
      else if (Buffer.byteLength(value) > NBD_MAX_STRING) complain(`${what} is longer than ${NBD_MAX_STRING} bytes`);
    }
    const { name, size, flags, minBlock, preferredBlock, maxBlock } = info;
    if (seen.has(name)) complain('name used twice');
    seen.add(name);
    need(Number.isSafeInteger(size) && size >= 0, 'size', 'a whole number of bytes up to 2^53-1');
    need(Number.isInteger(flags) && flags >= 0 && flags <= 0xffff, 'flags', 'a whole number of 16 bits');
    need(powerOfTwo(minBlock) && minBlock <= 65536, 'minBlock', 'a power of two up to 65536');
    const whole = `a multiple of minBlock, which is ${minBlock}`;
    // The last bytes would be out of reach, and tools give up on an export that says so.
    need(size % minBlock === 0, 'size', whole);
    const preferred = powerOfTwo(preferredBlock) && preferredBlock >= Math.max(minBlock, 512);
    need(preferred, 'preferredBlock', 'a power of two of at least minBlock and 512');
    const most = Number.isInteger(maxBlock) && maxBlock >= preferredBlock && maxBlock <= 0xffffffff;
    need(most, 'maxBlock', 'a whole number from preferredBlock to 2^32-1');
    need(maxBlock % minBlock === 0 || maxBlock === 0xffffffff, 'maxBlock', `${whole}, or 2^32-1`);
  }
}
