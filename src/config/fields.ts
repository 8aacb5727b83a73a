// Builders for the options that schema.ts declares: each one carries its bounds, default and reason once,
// and from that come the check, the error text, the JSON schema and the option reference.
// Invariant: every message says what is wrong and what is allowed, without the option's path (load.ts puts that in front).
import { isIPv6 } from 'node:net';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { PAGE_SIZE } from '../pool/limits.ts';
import {
  DURATION_PATTERN,
  formatDuration,
  formatSize,
  PERCENT_PATTERN,
  parseDuration,
  parsePercent,
  parseSize,
  SIZE_PATTERN,
} from './units.ts';

/** The folder that holds package.json. src/config and dist/config are equally deep. */
export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The folder that default paths are relative to, with `var/` in it. An installed package belongs to npm, and is often not
 * writable: there it is the folder that the program was started in.
 */
export const HOME = REPOSITORY.split('/').includes('node_modules') ? process.cwd() : REPOSITORY;

/** The largest `zswap.max`: stands for "max", no limit, and keeps the value a plain integer. */
export const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/** What the JSON schema can't hold, read by docs.ts and by the resolution of relative paths. */
interface OptionMeta {
  description: string;
  unit?: string;
  allowed?: string;
  /** The value is a path: relative ones are made absolute before the check. */
  path?: boolean;
  /** JSON schema of what may be written, where zod can't tell it. */
  json?: object;
}

/** A value as an error message shows it; long ones are cut, because a pasted file would hide the message. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function wrong(value: unknown, what: string, allowed: string): string {
  return value === undefined ? `is missing, allowed: ${allowed}` : `${show(value)} is not ${what}, allowed: ${allowed}`;
}

/** A group of options; an unknown key is an error, because a misspelt option would otherwise silently keep its default. */
export function group<S extends z.ZodRawShape>(shape: S, description: string) {
  const keys = Object.keys(shape).filter((key) => key !== '$schema');
  return z
    .strictObject(shape, {
      error: (issue) =>
        issue.code === 'unrecognized_keys'
          ? `allowed: ${keys.join(', ')}`
          : wrong(issue.input, 'an object', `an object with the keys ${keys.join(', ')}`),
    })
    .meta({ description });
}

export function integer(min: number, max: number, unit: string, description: string) {
  const allowed = `an integer from ${min} to ${max}`;
  const error = (issue: { input?: unknown }) => wrong(issue.input, 'valid', allowed);
  return z
    .int({ error })
    .min(min, { error })
    .max(max, { error })
    .meta({ description, unit, allowed } satisfies OptionMeta);
}

export function bool(description: string) {
  const allowed = 'true or false';
  return z
    .boolean({ error: (issue) => wrong(issue.input, 'a boolean', allowed) })
    .meta({ description, allowed } satisfies OptionMeta);
}

/** An integer, or null for "as it is". */
export function integerOrNull(min: number, max: number, unit: string, description: string) {
  return parsed(
    (value): number | null | undefined => {
      if (value === null) return null;
      return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined;
    },
    'valid',
    {
      description,
      unit,
      allowed: `an integer from ${min} to ${max}, or null to leave it`,
      json: { type: ['integer', 'null'], minimum: min, maximum: max },
    },
  );
}

/** One of a list. */
export function choice<const V extends readonly [string, ...string[]]>(values: V, description: string) {
  const allowed = values.map((value) => `"${value}"`).join(', ');
  return z
    .enum(values, {
      error: (issue) => wrong(issue.input, 'one of the names', allowed),
    })
    .meta({ description, allowed } satisfies OptionMeta);
}

/** One of a list, or null for none. */
export function choiceOrNull<const V extends readonly [string, ...string[]]>(values: V, description: string) {
  const known = (value: unknown): value is V[number] => (values as readonly unknown[]).includes(value);
  return parsed(
    (value): V[number] | null | undefined => (value === null || known(value) ? value : undefined),
    'one of the names',
    {
      description,
      allowed: `${values.map((value) => `"${value}"`).join(', ')}, or null for none`,
      json: { enum: [...values, null] },
    },
  );
}

/** Values by name, for any of the names; another one is an error, because what is said for it would do nothing in silence. */
export function byName<const N extends readonly [string, ...string[]], V extends z.ZodType>(
  names: N,
  value: V,
  allowed: string,
  meta: Pick<OptionMeta, 'description' | 'unit'>,
) {
  const quoted = names.map((name) => `"${name}"`).join(', ');
  // The types of zod don't know that a record of named keys can have an unrecognized one.
  const error = ({ code, input }: { code: string; input?: unknown }) =>
    code === 'unrecognized_keys' ? `allowed: ${quoted}` : wrong(input, 'an object', allowed);
  return z.partialRecord(z.enum(names), value, { error }).meta({ ...meta, allowed } satisfies OptionMeta);
}

/** An option that zod has no type for: `parse` answers undefined for what is not allowed. */
export function parsed<T>(
  parse: (value: unknown) => T | undefined,
  what: string,
  meta: OptionMeta & { allowed: string },
) {
  return z
    .any()
    .transform((value: unknown, context): T => {
      // Half of a surrogate pair has no bytes: what is on the wire or in a path would be another text.
      const result = typeof value === 'string' && !value.isWellFormed() ? undefined : parse(value);
      if (result !== undefined) return result;
      context.issues.push({ code: 'custom', message: wrong(value, what, meta.allowed), input: value });
      return z.NEVER;
    })
    .meta({ ...meta });
}

/** A name or a sentence. The bound is in bytes, because it is one on the wire. */
export function text(min: number, max: number, description: string) {
  return parsed(
    (value) => (typeof value === 'string' && inBytes(value, min, max) && !/\p{Cc}/u.test(value) ? value : undefined),
    'a valid string',
    {
      description,
      allowed: `a string of ${min} to ${max} bytes of UTF-8 without control characters`,
      json: { type: 'string', minLength: min, maxLength: max },
    },
  );
}

function inBytes(value: string, min: number, max: number): boolean {
  const bytes = Buffer.byteLength(value);
  return bytes >= min && bytes <= max;
}

/** A default path is relative to HOME; load.ts has made what a user wrote absolute before. */
function parsePath(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && !value.includes('\0') ? resolve(HOME, value) : undefined;
}

export function file(description: string) {
  return parsed(parsePath, 'a path', {
    description,
    allowed: 'a path',
    path: true,
    json: { type: 'string', minLength: 1 },
  });
}

/** A path, or null for "off". */
export function fileOrNull(description: string) {
  return parsed((value): string | null | undefined => (value === null ? null : parsePath(value)), 'a path', {
    description,
    allowed: 'a path, or null for none',
    path: true,
    json: { type: ['string', 'null'] },
  });
}

/** A group of the machine, or null for none. Whether it exists is for the environment to say. */
export function groupOrNull(description: string) {
  function parse(value: unknown): string | null | undefined {
    if (value === null) return null;
    if (typeof value === 'number') return Number.isInteger(value) && value >= 0 ? String(value) : undefined;
    return typeof value === 'string' && inBytes(value, 1, 255) && !/\p{Cc}/u.test(value) ? value : undefined;
  }
  return parsed(parse, 'a group', {
    description,
    allowed: 'the name or number of a group, or null for none',
    json: { type: ['string', 'integer', 'null'] },
  });
}

interface SizeBounds {
  min: number;
  max: number;
  /** The size is a multiple of this. */
  multiple?: number;
  /** "20%" of this many bytes is allowed too. Called when it is used, so that the declaration depends on no machine. */
  percentOf?: () => number;
  /** The word "max" is allowed too. */
  wordMax?: boolean;
}

function sizeAllowed(bounds: SizeBounds): string {
  const multiple = bounds.multiple === undefined ? '' : ` and a multiple of ${bounds.multiple}`;
  const percent = bounds.percentOf === undefined ? '' : ', or "1%" to "100%"';
  const word = bounds.wordMax === true ? ', or "max"' : '';
  return `bytes or a size such as "512MiB", from ${formatSize(bounds.min)} to ${formatSize(bounds.max)}${multiple}${percent}${word}`;
}

/** Bytes, as an integer or as "512MiB". */
export function size(bounds: SizeBounds, description: string) {
  const { min, max, multiple = 1, percentOf, wordMax = false } = bounds;
  const anyOf: object[] = [
    { type: 'integer', minimum: min, maximum: max, ...(multiple > 1 ? { multipleOf: multiple } : {}) },
    { type: 'string', pattern: SIZE_PATTERN },
  ];
  if (percentOf !== undefined) anyOf.push({ type: 'string', pattern: PERCENT_PATTERN });
  if (wordMax) anyOf.push({ const: 'max' });
  function parse(value: unknown): number | undefined {
    if (wordMax && value === 'max') return NO_LIMIT;
    const percent = percentOf === undefined ? undefined : parsePercent(value);
    // A share of a small machine may fall below the minimum, that of a large one beyond the maximum: the bound is then meant.
    if (percent !== undefined) {
      return Math.min(max, Math.max(min, Math.floor((percentOf!() * percent) / 100 / PAGE_SIZE) * PAGE_SIZE));
    }
    const bytes = parseSize(value);
    return bytes !== undefined && bytes >= min && bytes <= max && bytes % multiple === 0 ? bytes : undefined;
  }
  return parsed(parse, 'a valid size', { description, allowed: sizeAllowed(bounds), unit: 'bytes', json: { anyOf } });
}

/** Milliseconds, written with a unit. */
export function duration(min: number, max: number, description: string) {
  function parse(value: unknown): number | undefined {
    const ms = parseDuration(value);
    return ms !== undefined && ms >= min && ms <= max ? ms : undefined;
  }
  return parsed(parse, 'a valid time', {
    description,
    allowed: `a time with its unit such as "10s" or "500ms", from ${formatDuration(min)} to ${formatDuration(max)}`,
    json: { type: 'string', pattern: DURATION_PATTERN },
  });
}

/** "host:port" of a listening socket, with an IPv6 address in brackets, or null. */
export function tcpAddress(description: string) {
  function parse(value: unknown): { host: string; port: number } | null | undefined {
    if (value === null) return null;
    const match = typeof value === 'string' ? /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/i.exec(value) : null;
    if (match === null || Number(match[3]) > 65535 || (match[1] !== undefined && !isIPv6(match[1]))) return undefined;
    return { host: match[1] ?? match[2], port: Number(match[3]) };
  }
  return parsed(parse, 'an address', {
    description,
    allowed: '"host:port" with a port from 0 to 65535 and IPv6 in brackets ("[::1]:10809"), or null for none',
    json: { type: ['string', 'null'] },
  });
}

/** Number of lanes; "auto" is what the machine can use without starving the guest beside it. */
export function laneCount(max: number, description: string) {
  function parse(value: unknown): number | undefined {
    if (value === 'auto') return Math.min(2, availableParallelism());
    return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max ? value : undefined;
  }
  return parsed(parse, 'a number of lanes', {
    description,
    allowed: `"auto" or an integer from 0 to ${max}`,
    unit: 'threads',
    json: { anyOf: [{ const: 'auto' }, { type: 'integer', minimum: 0, maximum: max }] },
  });
}
