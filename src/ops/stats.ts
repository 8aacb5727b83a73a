// `zswapd stats`: asks a running server for its counters and prints them.
// Invariant: prints whatever keys the server sends, in its order, so that a new counter needs no change here.
import { request } from 'node:http';
import { EXIT, ExitError, errorCode, errorText } from './exit_error.ts';

/** How many the control socket serves at a time; it closes others without a word. */
export const CONTROL_CONNECTIONS = 16;

const TIMEOUT_MS = 5000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const MIB = 1024 * 1024;

type Row = Record<string, unknown>;

/** GET of a JSON object from the control socket; POST for a verb, which may take as long as it does. */
export function fetchControl(
  socketPath: string,
  path: string,
  method: 'GET' | 'POST' = 'GET',
  timeoutMs = TIMEOUT_MS,
): Promise<Row> {
  return new Promise((resolve, reject) => {
    function fail(error: unknown): void {
      reject(new ExitError(EXIT.failed, explain(socketPath, error), { cause: error }));
    }
    const call = request(
      { socketPath, path, method, agent: false, ...(method === 'GET' ? { timeout: timeoutMs } : {}) },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) call.destroy(new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`));
          else chunks.push(chunk);
        });
        response.on('error', fail);
        response.on('end', () => {
          try {
            resolve(readAnswer(response.statusCode, Buffer.concat(chunks).toString('utf8')));
          } catch (error) {
            fail(error);
          }
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    call.on('error', fail);
    call.end();
  });
}

function readAnswer(status: number | undefined, text: string): Row {
  if (status !== 200) throw new Error(refusal(status, text));
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('the answer is not an object');
  return value as Row;
}

/** What the server says is wrong, where it says so in a line of its own. */
function refusal(status: number | undefined, text: string): string {
  const { 1: error } = /^\{"error":"((?:[^"\\]|\\.)*)"\}\s*$/.exec(text) ?? [];
  return (status === 500 ? undefined : error) ?? `the server answered ${status}: ${text.trim().slice(0, 200)}`;
}

function explain(socketPath: string, error: unknown): string {
  const code = errorCode(error);
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return `${socketPath}: no server answers there (control.listen); is zswapd running?`;
  if (code === 'EPIPE' || code === 'ECONNRESET') {
    const why = `the server takes ${CONTROL_CONNECTIONS} connections at a time, or has ended; try again`;
    return `${socketPath}: the connection was closed without an answer (${errorText(error)}): ${why}`;
  }
  if (code.startsWith('HPE_')) {
    return `${socketPath}: is not a control socket: who answers there does not speak HTTP, allowed: that of control.listen`;
  }
  return `${socketPath}: ${errorText(error)}`;
}

/** The human form: plain values first, then a table for each group and each list. */
export function formatStats(stats: Row): string {
  const plain = Object.entries(stats).filter(([, value]) => !isObject(value));
  const sections = plain.length > 0 ? [columns(plain.map(([key, value]) => [key, cell(key, value)]))] : [];
  for (const [name, value] of Object.entries(stats)) {
    if (Array.isArray(value)) sections.push(`${name}\n${indent(table(value.filter(isObject)))}`);
    else if (isObject(value)) sections.push(`${name}\n${indent(list(value))}`);
  }
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

/** The verdict in a line, then what does not agree, then the figures. */
export function formatCheck({ quiescent, ok, problems, ...figures }: Row): string {
  const lines = Array.isArray(problems) ? problems.map(String) : [];
  const quiet = ok === true ? 'ok: nothing leaked' : `${lines.length} sums do not agree:`;
  const verdict = quiescent === true ? quiet : 'no verdict: requests or writebacks are under way';
  return `${[verdict, ...lines.map((line) => `  ${line}`)].join('\n')}\n\n${formatStats(figures)}`;
}

function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null;
}

function list(row: Row): string {
  const entries = Object.entries(flatten(row));
  return entries.length === 0 ? '(none)' : columns(entries.map(([key, value]) => [key, cell(key, value)]));
}

function table(rows: readonly Row[]): string {
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
    else flat[prefix + key] = value;
  }
  return flat;
}

/** A value as shown; names that the kernel and the config use for byte counts are shown in MiB. */
function cell(key: string, value: unknown): string {
  if (value === undefined || value === null) return '-';
  if (typeof value !== 'number') return String(value);
  if (/(^|[._])(bytes|size|max|current|rss)$/.test(key)) {
    if (value === Number.MAX_SAFE_INTEGER) return 'max';
    return `${(value / MIB).toFixed(value > 0 && value < MIB ? 3 : 1)} MiB`;
  }
  return Number.isInteger(value) ? String(value) : value.toFixed(3);
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
