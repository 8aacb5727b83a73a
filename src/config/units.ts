// Sizes, percentages and durations as people write them in a config.
// Invariant: every parser answers an integer (bytes, milliseconds) or undefined, and never guesses a unit.

const SIZE_UNITS = new Map([
  ['B', 1],
  ['K', 2 ** 10],
  ['KIB', 2 ** 10],
  ['M', 2 ** 20],
  ['MIB', 2 ** 20],
  ['G', 2 ** 30],
  ['GIB', 2 ** 30],
  ['T', 2 ** 40],
  ['TIB', 2 ** 40],
]);

const DURATION_UNITS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

const KIB = 2 ** 10;
export const MIB = 2 ** 20;
const GIB = 2 ** 30;
export const TIB = 2 ** 40;

/** Patterns of the three notations, for editors that read the JSON schema. */
export const SIZE_PATTERN = '^[0-9]+(\\.[0-9]+)? ?([KMGTkmgt]([iI][bB])?|[bB])?$';
export const PERCENT_PATTERN = '^[0-9]+(\\.[0-9]+)?%$';
export const DURATION_PATTERN = '^[0-9]+(\\.[0-9]+)? ?(ms|s|m|h)$';

/** Bytes of `4096`, `"512MiB"`, `"1.5G"`. K, M, G and T are powers of 1024, as for the kernel; "MB" is refused as ambiguous. */
export function parseSize(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(value.trim());
  if (match === null) return undefined;
  const unit = SIZE_UNITS.get((match[2] || 'B').toUpperCase());
  if (unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** 20 of `"20%"`; above 0 and at most 100. */
export function parsePercent(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^\d+(\.\d+)?%$/.test(value.trim())) return undefined;
  const percent = Number.parseFloat(value);
  return percent > 0 && percent <= 100 ? percent : undefined;
}

/** Milliseconds of `"500ms"`, `"10s"`, `"2m"`. A bare number has no unit and is refused. */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?) ?(ms|s|m|h)$/.exec(value.trim());
  if (match === null) return undefined;
  const ms = Number(match[1]) * DURATION_UNITS.get(match[2])!;
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** The shortest exact notation: 536870912 is "512MiB", 4097 is "4097". */
export function formatSize(bytes: number): string {
  for (const [name, unit] of [
    ['TiB', TIB],
    ['GiB', GIB],
    ['MiB', MIB],
    ['KiB', KIB],
  ] as const) {
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit}${name}`;
  }
  return String(bytes);
}

/** Up to whole MiB: what is a sum has no shorter name. */
export function roundedSize(bytes: number): string {
  return formatSize(Math.ceil(bytes / MIB) * MIB);
}

export function formatDuration(ms: number): string {
  if (ms >= 60_000 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
