// `zswapd soak`: checks what was asked before anything starts, and prints the last line of the run.
// Invariant: a mistake in the arguments is one line and exit 2; what the soak finds is 1, and what it can't tell is 5.
import { readFileSync } from 'node:fs';
import { programLine } from '../config/program.ts';
import { formatDuration, parseDuration } from '../config/units.ts';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import type { Ask } from '../soak/control.ts';
import { BREAKS, type Break, type SoakOptions } from '../soak/options.ts';
import { soak } from '../soak/run.ts';
import { askControl } from './ask_control.ts';
import { print } from './print.ts';

export interface SoakFlags {
  time: string;
  faults?: string;
  seed?: string;
  uri?: string;
  control?: string;
  guest?: boolean;
  rate?: string;
  report?: string;
  break?: string;
  set: string[];
}

const TIME = { least: 1000, most: 30 * 24 * 3_600_000 };
const SEED_MAX = 2 ** 31 - 1;
const RATE_MAX = 1_000_000;
/** A signal that comes so much later than the first ends it at once, without a report: shells and `timeout` send one twice. */
const INSIST_MS = 1000;
const CODES = { PASS: EXIT.ok, FAIL: EXIT.failed, UNKNOWN: EXIT.unknown } as const;

/** Resolves to the exit code. */
export async function runSoak(flags: SoakFlags): Promise<number> {
  const options = optionsOf(flags);
  const stop = new AbortController();
  // Nobody reads it any more: that is no reason to end.
  process.stderr.on('error', () => undefined);
  let askedMs = Number.POSITIVE_INFINITY;
  const onSignal = (): void => {
    if (performance.now() - askedMs > INSIST_MS) process.exit(EXIT.unknown);
    askedMs = Math.min(askedMs, performance.now());
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  const around = { ask, tell: (line: string) => void process.stderr.write(`soak: ${line}\n`), signal: stop.signal };
  const { verdict, line } = await soak(options, around);
  await print(`${line}\n`);
  return CODES[verdict];
}

const ask = (socket: string): Ask => {
  return (method, path, body, timeoutMs) =>
    askControl(socket, { method, path, body, timeoutMs }, ({ status, text }) => ({ status, text }));
};

function optionsOf(flags: SoakFlags): SoakOptions {
  const ms = parseDuration(flags.time);
  if (ms === undefined || ms < TIME.least || ms > TIME.most) {
    const allowed = `a time with its unit from ${formatDuration(TIME.least)} to 720h, such as 90s, 10m or 8h`;
    throw usage(`--time: ${JSON.stringify(flags.time)}, allowed: ${allowed}`);
  }
  const { uri, control, guest = false, report, set } = flags;
  if (uri !== undefined && set.length > 0) throw usage('--set: is for a server of its own, allowed: without --uri');
  if (uri !== undefined && flags.break !== undefined) {
    throw usage('--break: is for a server of its own, allowed: without --uri');
  }
  if (uri === undefined && control !== undefined) throw usage('--control: is for --uri, allowed: beside it');
  if (uri !== undefined && control === undefined && flags.faults !== undefined) {
    throw usage('--faults: there is no server to ask, allowed: beside --uri also --control PATH');
  }
  const seed = flags.seed === undefined ? Math.trunc(performance.timeOrigin) % SEED_MAX : seedOf(flags.seed);
  if (guest && flags.rate !== undefined) throw usage('--rate: a guest goes at its own, allowed: without --guest');
  const options = { ms, seed, uri, control, guest, rate: rateOf(flags.rate), report, set };
  return { ...options, break: breakOf(flags.break), faults: planFile(flags.faults), again: againLine(flags, seed) };
}

function seedOf(text: string): number {
  const seed = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(seed <= SEED_MAX)) throw usage(`--seed: ${JSON.stringify(text)}, allowed: an integer from 0 to ${SEED_MAX}`);
  return seed;
}

function rateOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const rate = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(rate >= 1 && rate <= RATE_MAX)) {
    throw usage(`--rate: ${JSON.stringify(text)}, allowed: an integer from 1 to ${RATE_MAX}`);
  }
  return rate;
}

function breakOf(text: string | undefined): Break | undefined {
  const found = BREAKS.find((one) => one === text);
  if (text !== undefined && found === undefined)
    throw usage(`--break: ${JSON.stringify(text)}, allowed: ${BREAKS.join(', ')}`);
  return found;
}

function planFile(path: string | undefined): SoakOptions['faults'] {
  if (path === undefined) return undefined;
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    throw new ExitError(EXIT.usage, `--faults: ${errorText(error)}, allowed: a file that can be read`, {
      cause: error,
    });
  }
}

/** With the seed that was drawn, and without the folder, which has a report now. */
function againLine(flags: SoakFlags, seed: number): string {
  const words = ['soak', '--time', flags.time, '--seed', String(seed)];
  for (const name of ['rate', 'faults', 'uri', 'control', 'break'] as const) {
    const value = flags[name];
    if (value !== undefined) words.push(`--${name}`, value);
  }
  if (flags.guest === true) words.push('--guest');
  return programLine(...words, ...flags.set.flatMap((setting) => ['--set', setting]));
}

function usage(line: string): ExitError {
  return new ExitError(EXIT.usage, line);
}
