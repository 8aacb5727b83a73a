/**
 * The command line of the benchmark. A mistake in it is one line on stderr and exit code 2.
 */
import { parseArgs } from 'node:util';
import { DATA_MIB } from './scale/variants.ts';

const RUNS = ['protocols', 'points', 'scale'] as const;

export interface Options {
  readonly json: boolean;
  /** What is compared: servers; our protocols; our server with and without its scheduling points; few memcgs and many, and allocators. */
  readonly what: 'servers' | (typeof RUNS)[number];
  /** Repetitions; each visits every server once. */
  readonly repeat: number;
  /** Length of one measured run. */
  readonly seconds: number;
  /** No further repetition is begun that would end later, after the first. */
  readonly roundsSeconds: number;
  /** Size of the device of each server, and so of the data stored on it; of --scale the data alone, on each export. */
  readonly bytes: number;
  /** Names of servers and workloads to keep; empty keeps all. */
  readonly only: readonly string[];
  /** Of --scale: the file of pages that the allocators are to store, or that is to be made. */
  readonly corpus: string | undefined;
  readonly takeCorpus: string | undefined;
}

/** Of --scale: with what comes before and after them, five minutes. */
const SCALE_ROUNDS_SECONDS = 240;

export class UsageError extends Error {}

export const USAGE = `usage: ./scripts/bench [--json] [--quick] [--repeat N] [--seconds S] [--size MiB] [--only NAMES]
       ./scripts/bench --protocols [--json] [--quick] [--repeat N] [--seconds S] [--size MiB]
       ./scripts/bench --points [--json] [--quick] [--repeat N] [--seconds S] [--size MiB]
       ./scripts/bench --scale [--corpus FILE] [--json] [--quick] [--repeat N] [--seconds S] [--size MiB]
       ./scripts/bench --scale --take-corpus FILE
  --protocols   each safe combination of protocols under the same pool pressure, in place of other servers
  --points      our server with and without the scheduling points of the explorer, in place of other servers
  --scale       our server with 1 to 10,000 memcgs, flat and deep trees of them, on exports of 1 GiB and 4 TiB; owner changes; and
                bytes per page for each allocator and for zram (default: 3 repetitions of 2 s, 128 MiB on each of two exports)
  --corpus FILE the pages that the allocators store
  --take-corpus FILE
                boots a guest that swaps, and makes FILE of what it had swapped out; outside of this checkout
  --json        print one JSON document in place of the tables
  --quick       one repetition of one-second runs
  --repeat N    repetitions (default 5); the table shows medians and their spread
  --seconds S   length of one run (default 3)
  --size MiB    size of each device, filled before it is measured (default 512); of --scale the pages on each export
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
        scale: { type: 'boolean' },
        corpus: { type: 'string' },
        'take-corpus': { type: 'string' },
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
  const what = whatOf(values);
  if (what !== 'servers' && only.length > 0) throw new UsageError(`--only does not go with --${what}`);
  const { corpus, 'take-corpus': takeCorpus } = values as Record<string, string | undefined>;
  for (const [name, value] of Object.entries({ corpus, 'take-corpus': takeCorpus })) {
    if (value !== undefined && what !== 'scale') throw new UsageError(`--${name} goes with --scale`);
  }
  if (corpus !== undefined && takeCorpus !== undefined) {
    throw new UsageError('--corpus and --take-corpus are two runs, one after the other');
  }
  const isScale = what === 'scale';
  const mib = positive('size', values.size as string | undefined, isScale ? 128 : 512);
  if (isScale && !DATA_MIB.includes(mib)) {
    throw new UsageError(`--size ${mib}: with --scale one of ${DATA_MIB.join(', ')}`);
  }
  return {
    json: values.json === true,
    what,
    repeat: positive('repeat', values.repeat as string | undefined, quick ? 1 : isScale ? 3 : 5),
    seconds: positive('seconds', values.seconds as string | undefined, quick ? 1 : isScale ? 2 : 3),
    roundsSeconds: isScale && values.repeat === undefined ? SCALE_ROUNDS_SECONDS : Number.POSITIVE_INFINITY,
    bytes: mib * 2 ** 20,
    only,
    corpus,
    takeCorpus,
  };
}

function whatOf(values: Readonly<Record<string, string | boolean | undefined>>): Options['what'] {
  const [first, second] = RUNS.filter((run) => values[run] === true);
  if (second !== undefined) throw new UsageError(`--${first} and --${second} are two runs, one at a time`);
  return first ?? 'servers';
}
