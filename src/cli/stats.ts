// What `zswapd stats` prints of the counters that a server sent.
// Invariant: prints whatever keys the server sends, in its order, so that a new counter needs no change here.
import { escapeName, visible } from '../control/fs/escapes.ts';
import type { Row } from './ask_control.ts';

const MIB = 1024 * 1024;
/** Paths of memcgs may have thousands of characters, and a table is as wide as its widest cell. */
const NAME_MAX = 60;
const CUT = `Names of more than ${NAME_MAX} characters are cut in their middle; --json has them whole.`;

/** The human form: plain values first, then a table for each group and each list. */
export function formatStats(stats: Row): string {
  const plain = Object.entries(stats).filter(([, value]) => !isObject(value));
  const sections = plain.length > 0 ? [columns(plain.map(([key, value]) => [key, cell(key, value)]))] : [];
  for (const [name, value] of Object.entries(stats)) {
    if (Array.isArray(value)) sections.push(`${name}\n${indent(table(value.filter(isObject)))}`);
    else if (isObject(value)) sections.push(`${name}\n${indent(list(value))}`);
  }
  const text = `${sections.filter((section) => section !== '').join('\n\n')}\n`;
  return hasLongName(stats) ? `${text}\n${CUT}\n` : text;
}

/** The verdict in a line, then what does not agree, then the figures. */
export function formatCheck({ quiescent, ok, problems, moved, ...figures }: Row): string {
  const lines = Array.isArray(problems) ? problems.map(String) : [];
  const quiet = ok === true ? 'ok: nothing leaked' : `${lines.length} sums do not agree:`;
  const why = moved === true ? 'pages came or went while they were counted' : 'requests or writebacks are under way';
  const verdict = quiescent === true ? quiet : `no verdict: ${why}`;
  return `${[verdict, ...lines.map((line) => `  ${visible(line)}`)].join('\n')}\n\n${formatStats(figures)}`;
}

function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null;
}

function list(row: Row): string {
  const entries = Object.entries(flatten(row));
  return entries.length === 0 ? '(none)' : columns(entries.map(([key, value]) => [key, cell(key, value)]));
}

export function table(rows: readonly Row[]): string {
  const flat = rows.map((row) => flatten(row));
  const keys = [...new Set(flat.flatMap((row) => Object.keys(row)))];
  if (keys.length === 0) return '(none)';
  return columns([keys, ...flat.map((row) => keys.map((key) => cell(key, row[key])))]);
}

/** One level of columns: { read: { ops: 1 } } is shown as read.ops. */
function flatten(row: Row, prefix = ''): Row {
  const flat: Row = {};
  for (const [key, value] of Object.entries(row)) {
    if (isObject(value)) Object.assign(flat, flatten(value, `${prefix}${key}.`));
    else flat[prefix + escapeName(key)] = value;
  }
  return flat;
}

/** A value as shown; names that the kernel and the config use for byte counts are shown in MiB. */
function cell(key: string, value: unknown): string {
  if (value === undefined || value === null) return '-';
  if (typeof value !== 'number') return cut(escapeName(String(value)));
  if (/(^|[._])(bytes|size|max|current|rss|zswapped|zswap_incomp)$/.test(key)) {
    if (value === Number.MAX_SAFE_INTEGER) return 'max';
    return `${(value / MIB).toFixed(value > 0 && value < MIB ? 3 : 1)} MiB`;
  }
  return Number.isInteger(value) ? String(value) : value.toFixed(3);
}

function cut(text: string): string {
  const characters = [...text];
  if (characters.length <= NAME_MAX) return text;
  const half = (NAME_MAX - 4) / 2;
  return `${characters.slice(0, half).join('')}...${characters.slice(-half).join('')}`;
}

function hasLongName(value: unknown): boolean {
  if (typeof value === 'string') return cut(escapeName(value)) !== escapeName(value);
  return isObject(value) && Object.values(value).some(hasLongName);
}

/** Aligned columns: the first to the left, all others, which are numbers, to the right. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, text] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, text.length);
  }
  return rows
    .map((row) =>
      row.map((text, index) => (index === 0 ? text.padEnd(widths[0]) : text.padStart(widths[index]))).join('  '),
    )
    .join('\n');
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ');
}
