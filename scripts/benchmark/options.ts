/**
 * The command line of the benchmark. A mistake in it is one line on stderr and exit code 2.
 */
import { parseArgs } from 'node:util';

export interface Options {
  readonly json: boolean;
  /** What is compared: servers; our protocols; our server with and without its scheduling points. */
  readonly what: 'servers' | 'protocols' | 'points';
  /** Repetitions; each visits every server once. */
  readonly repeat: number;
  /** Length of one measured run. */
  readonly seconds: number;
  /** Size of the device of each server, and so of the data stored on it. */
  readonly bytes: number;
  /** Names of servers and workloads to keep; empty keeps all. */
  readonly only: readonly string[];
}

export class UsageError extends Error {}

export const USAGE = `usage: ./scripts/bench [--json] [--quick] [--repeat N] [--seconds S] [--size MiB] [--only NAMES]
       ./scripts/bench --protocols [--json] [--quick] [--repeat N] [--seconds S] [--size MiB]
       ./scripts/bench --points [--json] [--quick] [--repeat N] [--seconds S] [--size MiB]
  --protocols   each safe combination of protocols under the same pool pressure, in place of other servers
  --points      our server with and without the scheduling points of the explorer, in place of other servers
  --json        print one JSON document in place of the tables
  --quick       one repetition of one-second runs
  --repeat N    repetitions (default 5); the table shows medians and their spread
  --seconds S   length of one run (default 3)
  --size MiB    size of each device, filled before it is measured (default 512)
  --only NAMES  comma-separated names of servers or workloads to keep`;

function positive(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1_000_000) {
    throw new UsageError(`--${name} ${text}: a whole number from 1 on is wanted`);
  }
  return value;
}

/** Undefined when help was asked for. `known` are the names that --only may hold. */
export function parseOptions(argv: readonly string[], known: readonly string[]): Options | undefined {
  let values: Record<string, string | boolean | undefined>;
  try {
    values = parseArgs({
      args: [...argv],
      options: {
        json: { type: 'boolean' },
        protocols: { type: 'boolean' },
        points: { type: 'boolean' },
        quick: { type: 'boolean' },
        repeat: { type: 'string' },
        seconds: { type: 'string' },
        size: { type: 'string' },
        only: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return undefined;
  const quick = values.quick === true;
  const only = typeof values.only === 'string' ? values.only.split(',').filter((name) => name !== '') : [];
  const unknown = only.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new UsageError(`--only ${unknown}: unknown, allowed are ${known.join(', ')}`);
  if (values.protocols === true && values.points === true) {
    throw new UsageError('--protocols and --points are two runs, one at a time');
  }
  const what = values.protocols === true ? 'protocols' : values.points === true ? 'points' : 'servers';
  if (what !== 'servers' && only.length > 0) throw new UsageError(`--only does not go with --${what}`);
  return {
    json: values.json === true,
    what,
    repeat: positive('repeat', values.repeat as string | undefined, quick ? 1 : 5),
    seconds: positive('seconds', values.seconds as string | undefined, quick ? 1 : 3),
    bytes: positive('size', values.size as string | undefined, 512) * 2 ** 20,
    only,
  };
}
