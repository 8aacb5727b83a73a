/**
 * What strace writes of a process, read back: calls of the system with begin and end.
 *
 * A place is a number on the line of time that all calls share. Each line of the trace has one, and a call whose begin and
 * end are on one line ends half a step later. A thread stands still while strace notes a begin or an end of it, so a call that
 * was noted later has not begun before, and what a thread does after a call comes behind the end of it here too.
 */

import { spawnSync } from 'node:child_process';
import { missing } from '../requires.ts';

export interface Call {
  readonly name: string;
  /** As strace writes them: strings and paths are bytes in hexadecimal. */
  readonly args: readonly string[];
  readonly begin: number;
  /** Infinite for one that has not returned when the process ended. */
  end: number;
  /** Of the call; null for one that has not returned. */
  result: number | null;
}

/** When a place was come to, in µs of the system's clock (CLOCK_REALTIME). */
export interface Moment {
  readonly place: number;
  readonly at: number;
}

export interface Trace {
  readonly calls: readonly Call[];
  /** In order, of all lines. */
  readonly moments: readonly Moment[];
}

/** All that changes files. Those that the reader of them (disk_log.ts) does not know make it fail. */
const CALLS = [
  ...['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'fallocate', 'ftruncate', 'truncate', 'copy_file_range'],
  ...['sendfile', 'fsync', 'fdatasync', 'sync_file_range', 'syncfs', 'sync', 'open', 'creat', 'openat', 'openat2'],
  ...['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'link', 'linkat', 'symlink', 'symlinkat', 'mkdir'],
  ...['mkdirat', 'rmdir', 'setxattr', 'lsetxattr', 'fsetxattr', 'removexattr', 'lremovexattr', 'fremovexattr'],
  ...['io_uring_setup'],
];

/** Longer than any write of a server: of a string that is cut off nobody could tell what is on the disk. */
const STRING_MAX = 2 ** 23;

/** What to put before the command that is traced. Its pid stays that of the command: strace is a grandchild. */
export function straced(file: string): string[] {
  const time = ['--absolute-timestamps=format:unix,precision:ns', '-T'];
  const what = ['-e', `trace=${CALLS.join(',')}`, '-e', 'signal=SIGKILL'];
  return ['strace', '-D', '-f', '-y', '-xx', '-s', String(STRING_MAX), '--seccomp-bpf', ...time, ...what, '-o', file];
}

/** False if processes can be traced here, else the reason to skip. */
export function untraceable(): string | false {
  const [program, ...args] = straced('/dev/null');
  const { status, stderr } = spawnSync(program, [...args, 'true'], { encoding: 'utf8' });
  return missing('strace') || (status !== 0 && `strace may not trace here: ${stderr.split('\n')[0]}`);
}

/** Whether the trace of a process is whole. Its own end is the last that strace writes of it. */
export function isWhole(tail: string, pid: number): boolean {
  return new RegExp(`^${pid} +\\S+ \\+\\+\\+ `, 'm').test(tail);
}

const LINE = /^(\d+) +(\d+)\.(\d{9}) (.*)$/s;
const RESUMED = /^<\.\.\. (\w+) resumed>(.*)$/s;
const UNFINISHED = ' <unfinished ...>';
const RETURNED = /^(.*)\) += (-?\d+|0x[0-9a-f]+|\?)(?:<[^>]*>)?[^<]*(?:<(?:(\d+\.\d+)|unavailable)>)?$/s;
const SECOND = 1e6;

class Reader {
  readonly calls: Call[] = [];
  readonly moments: Moment[] = [];
  /** By thread: the call that it is in, and how its line began. */
  readonly #open = new Map<string, { call: Call; text: string }>();
  readonly #first: number;
  readonly #killed: number;

  constructor(first: number, killed: number) {
    this.#first = first;
    this.#killed = killed;
  }

  line(text: string, number: number): void {
    const found = LINE.exec(text);
    if (found === null) throw new Error(`no line of strace: ${text.slice(0, 200)}`);
    const [, thread, seconds, nanoseconds, what] = found;
    const place = this.#first + number;
    const at = Number(seconds) * SECOND + Number(nanoseconds) / 1e3;
    this.moments.push({ place, at });
    const resumed = RESUMED.exec(what);
    if (resumed !== null) this.#resume(thread, resumed[2], place, at);
    else if (/^\w+\(/.test(what)) this.#call(thread, what, place, at);
    // Else a thread has ended, or was hit by a signal.
  }

  #call(thread: string, what: string, place: number, at: number): void {
    const name = what.slice(0, what.indexOf('('));
    const text = what.slice(name.length + 1);
    if (text.endsWith(UNFINISHED)) {
      const begun = text.slice(0, -UNFINISHED.length);
      // Or see the begin of it once more.
      if (this.#open.get(thread)?.text === begun) return;
      const call = { name, args: split(begun), begin: place, end: Number.POSITIVE_INFINITY, result: null };
      this.calls.push(call);
      this.#open.set(thread, { call, text: begun });
      return;
    }
    const { args, took, ...found } = returned(text);
    const result = at + took * SECOND < this.#killed ? found.result : null;
    const end = result === null ? Number.POSITIVE_INFINITY : place + 0.5;
    this.calls.push({ name, args, begin: place, end, result });
    if (result !== null) this.moments.push({ place: end, at: at + took * SECOND });
  }

  #resume(thread: string, rest: string, place: number, at: number): void {
    const open = this.#open.get(thread);
    this.#open.delete(thread);
    if (open === undefined) return;
    const { args, result } = returned(open.text + rest);
    // What a call gives back is written at its end.
    Object.assign(open.call, { args });
    if (result === null || at >= this.#killed) return;
    open.call.result = result;
    open.call.end = place;
  }
}

/**
 * `first`: the place of the first line. `killed`: when the process was, if it was; what strace reads of the end of a call is then
 * a result that an earlier one has left, so those have not returned.
 */
export function readTrace(text: string, first: number, killed = Number.POSITIVE_INFINITY): Trace {
  const reader = new Reader(first, killed);
  let number = 0;
  for (let at = 0; at < text.length; number++) {
    const end = text.indexOf('\n', at);
    // A last line without an end was cut off with the process that wrote it.
    if (end < 0) break;
    reader.line(text.slice(at, end), number);
    at = end + 1;
  }
  return { calls: reader.calls, moments: reader.moments };
}

function returned(text: string): { args: string[]; result: number | null; took: number } {
  const found = RETURNED.exec(text);
  if (found === null) throw new Error(`no end of a call: ${text.slice(-200)}`);
  const [, args, value, took = '0'] = found;
  return { args: split(args), result: value === '?' ? null : Number(value), took: Number(took) };
}

/** At the commas between arguments. No string has one: they are written in hexadecimal. */
function split(text: string): string[] {
  const args: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (letter === '[' || letter === '{') depth++;
    else if (letter === ']' || letter === '}') depth--;
    else if (letter === ',' && depth === 0) {
      args.push(text.slice(from, at).trim());
      from = at + 1;
    } else if (letter === '"') at = text.indexOf('"', at + 1);
  }
  args.push(text.slice(from).trim());
  return args;
}

/** The bytes of a string, each written as \\x41, or null where there is none. */
export function bytesOf(arg: string): Buffer | null {
  if (!arg.startsWith('"') || !arg.endsWith('"')) return null;
  const bytes = Buffer.allocUnsafe((arg.length - 2) / 4);
  for (let i = 0, at = 3; i < bytes.length; i++, at += 4) {
    bytes[i] = (digit(arg.charCodeAt(at)) << 4) | digit(arg.charCodeAt(at + 1));
  }
  return bytes;
}

/** Of 0-9 and a-f. */
function digit(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}

/** What is behind a descriptor; null for what has no path. */
export function pathOf(arg: string): string | null {
  const found = /^(?:\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})+)>/.exec(arg);
  return found === null ? null : Buffer.from(found[1].replaceAll('\\x', ''), 'hex').toString();
}
