/**
 * How the kernel's files write and read numbers: kstrtoint, kstrtobool, page_counter_memparse. Numbers may be octal (010) or
 * hexadecimal (0x10), as there. One thing is refused that the kernel takes: an empty text, which sets 0 there.
 */
import { PAGE_SIZE } from '../../pool/limits.ts';
import { FsError } from './errors.ts';

/** A limit that is none: "max". */
export const NO_LIMIT = Number.MAX_SAFE_INTEGER;

const NUMBER = /^(0[xX][\da-fA-F]+|0[0-7]*|[1-9]\d*)$/;
const SUFFIXES = 'KMGTPE';
const SUFFIXED = 'which may end in K, M, G, T, P or E';
const YES = ['y', 'yes', 't', 'true', '1', 'on'];
const NO = ['n', 'no', 'f', 'false', '0', 'off'];

export function invalid(text: string, allowed: string, code: 'EINVAL' | 'ERANGE' = 'EINVAL'): FsError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}...` : text;
  return new FsError(code, `${JSON.stringify(shown)} is not valid, allowed: ${allowed}`);
}

/** Undefined for what is no number. BigInt, because a text may name any. */
function number(text: string): bigint | undefined {
  if (!NUMBER.test(text)) return undefined;
  // BigInt knows 0x10 as C does, and octal numbers by another prefix.
  return BigInt(/^0[0-7]+$/.test(text) ? `0o${text.slice(1)}` : text);
}

/** An integer in [min, max]. `or`: what else the file takes, for the error. */
export function parseInteger(text: string, min: number, max: number, or = ''): number {
  const digits = text.trim().replace(/^\+/, '');
  const value = number(digits);
  if (value === undefined || value < min || value > max) throw invalid(text, `${or}an integer from ${min} to ${max}`);
  return Number(value);
}

export function parseBool(text: string): boolean {
  const word = text.trim().toLowerCase();
  if (YES.includes(word)) return true;
  if (NO.includes(word)) return false;
  throw invalid(text, 'Y or N');
}

/** Bytes, with the kernel's suffixes, rounded down to a page; NO_LIMIT for "max" and for more than anything can have. */
export function parseLimit(text: string): number {
  const word = text.trim();
  if (word === 'max') return NO_LIMIT;
  const bytes = parseBytes(word);
  if (bytes === undefined) throw invalid(text, `max, or bytes, ${SUFFIXED}`);
  return bytes >= BigInt(NO_LIMIT) ? NO_LIMIT : Math.floor(Number(bytes) / PAGE_SIZE) * PAGE_SIZE;
}

/** As a limit, where there is a most of it: no more than that, and no "max". */
export function parseSize(text: string, most: number): number {
  const bytes = parseBytes(text.trim());
  if (bytes === undefined || bytes > most) throw invalid(text, `bytes from 0 to ${most}, ${SUFFIXED}`);
  return Math.floor(Number(bytes) / PAGE_SIZE) * PAGE_SIZE;
}

/** Of memory.reclaim: bytes, rounded down to a page, then keys, of which age alone changes something here; the last one counts. */
export function parseReclaim(text: string): { readonly bytes: number; readonly ageSeconds: number | null } {
  const [size, ...keys] = text.trim().split(/ +/);
  const bytes = parseBytes(size);
  const ages = keys.filter((key) => key.startsWith('age=')).map((key) => parseAge(key.slice('age='.length)));
  const takes = `bytes, ${SUFFIXED}, then source=zswap, swappiness=0 to 200 or max, or age=SECONDS, 30s, 5m, 2h or 1d`;
  const others = keys.filter((key) => !key.startsWith('age='));
  if (bytes === undefined || ages.includes(undefined) || !others.every(isReclaimKey)) throw invalid(text, takes);
  const whole = Math.floor(Math.min(Number(bytes), NO_LIMIT) / PAGE_SIZE) * PAGE_SIZE;
  return { bytes: whole, ageSeconds: ages.at(-1) ?? null };
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds; undefined for what is no age. */
function parseAge(word: string): number | undefined {
  // The d of a hexadecimal number is one of its digits, as with bytes.
  const whole = number(word);
  const unit = whole === undefined ? SECONDS[word.slice(-1)] : 1;
  const value = whole ?? number(word.slice(0, -1));
  return value === undefined || unit === undefined ? undefined : Math.min(Number(value) * unit, NO_LIMIT);
}

/** Everything here is swapped out already, so that there is nothing for swappiness to choose between. */
function isReclaimKey(word: string): boolean {
  if (word === 'source=zswap' || word === 'swappiness=max') return true;
  const value = word.startsWith('swappiness=') ? number(word.slice('swappiness='.length)) : undefined;
  return value !== undefined && value <= 200;
}

function parseBytes(word: string): bigint | undefined {
  // The E of a hexadecimal number is one of its digits, and so C reads it.
  const whole = number(word);
  if (whole !== undefined) return whole;
  const value = number(word.slice(0, -1));
  const power = SUFFIXES.indexOf(word.slice(-1).toUpperCase()) + 1;
  return value === undefined || power === 0 ? undefined : value << BigInt(10 * power);
}

export function formatBool(on: boolean): string {
  return on ? 'Y' : 'N';
}

export function formatLimit(bytes: number): string {
  return bytes >= NO_LIMIT ? 'max' : String(bytes);
}

/** Lines of a name and a number each, as memory.stat has them. */
export function formatLines(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}`)
    .join('\n');
}
