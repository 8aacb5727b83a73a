/**
 * What each safe combination of protocols costs: the same load on the same small pool, so that writeback never rests, and
 * three connections on two lanes, so that threads meet. Each repetition visits every combination once.
 */

import { join } from 'node:path';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import type { Combination } from '#src/protocols/index.js';
import { safeCombinations, settingsOf } from '../support/safe_combinations.ts';
import { fill, type Measured, mix } from './fio.ts';
import { counter, serveCommand, startOurs } from './ours.ts';
import type { StartContext } from './server.ts';
import { median, range } from './statistics.ts';

/** Compressed, the device is about 0.4 of its size: a quarter of that has to go. */
const POOL_SHARE = 0.25;
const LANES = 2;

const COUNTED = [
  'written_back_pages',
  'writeback_wasted',
  'writeback_busy',
  'writeback_invalidated',
  'lock_wait_ms',
  'spins',
  'retries',
  'errors',
] as const;
type Counted = Record<(typeof COUNTED)[number], number>;

interface Sample {
  readonly write: Measured;
  readonly read: Measured;
  readonly trim: Measured;
  /** What the run added to the counters. */
  readonly added: Counted;
}

export interface ProtocolRow {
  readonly combination: string;
  /** Requests a second, of all three kinds. */
  readonly iops: number;
  readonly iopsRange: readonly [number, number];
  /** Microseconds. */
  readonly writeP99: number;
  readonly readP99: number;
  /** Pages a second. */
  readonly writebacksPerSecond: number;
  /** Share of the pages written back whose slot was overwritten or trimmed before the image had them. */
  readonly wasted: number;
  /** Victims that were busy or gone, a second. */
  readonly skippedPerSecond: number;
  /** Share of the run that threads waited for locks, all threads together. */
  readonly lockWait: number;
  /** Per 1000 requests. */
  readonly spins: number;
  readonly retries: number;
}

export interface ProtocolReport {
  readonly machine: string;
  readonly date: string;
  readonly repeat: number;
  readonly seconds: number;
  readonly deviceBytes: number;
  readonly poolBytes: number;
  readonly rows: readonly ProtocolRow[];
}

interface ProtocolPlan {
  readonly context: StartContext;
  readonly repeat: number;
  readonly seconds: number;
  readonly progress: (line: string) => void;
  readonly signal: AbortSignal;
}

function countersOf(stats: unknown): Counted {
  return Object.fromEntries(COUNTED.map((name) => [name, counter(stats, name)])) as Counted;
}

async function visit(plan: ProtocolPlan, combination: Combination, seed: number): Promise<Sample> {
  const { context, seconds } = plan;
  const output = join(context.folder, 'fio.json');
  const server = await startOurs(context, {
    command: serveCommand(context),
    poolBytes: context.bytes * POOL_SHARE,
    settings: [`lanes=${LANES}`, ...settingsOf(combination)],
  });
  try {
    await fill(server.uri, context.bytes, output);
    const before = countersOf(await server.stats());
    const measured = await mix(server.uri, { bytes: context.bytes, seconds, seed, output });
    const after = countersOf(await server.stats());
    const added = Object.fromEntries(COUNTED.map((name) => [name, after[name] - before[name]])) as Counted;
    if (after.errors > 0) throw new Error(`${after.errors} requests failed under ${formatCombination(combination)}`);
    return { ...measured, added };
  } finally {
    await server.stop();
  }
}

function rowOf(combination: Combination, samples: readonly Sample[]): ProtocolRow {
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick));
  const requests = ({ write, read, trim }: Sample): number => write.iops + read.iops + trim.iops;
  const per1000 = (name: 'spins' | 'retries') => of((s) => (1000 * s.added[name]) / (requests(s) * s.write.seconds));
  const perSecond = (pick: (added: Counted) => number) => of((s) => pick(s.added) / s.write.seconds);
  return {
    combination: formatCombination(combination),
    iops: of(requests),
    iopsRange: range(samples.map(requests)),
    writeP99: of((s) => s.write.p99),
    readP99: of((s) => s.read.p99),
    writebacksPerSecond: perSecond((added) => added.written_back_pages),
    wasted: of((s) => s.added.writeback_wasted / Math.max(1, s.added.written_back_pages)),
    skippedPerSecond: perSecond((added) => added.writeback_busy + added.writeback_invalidated),
    lockWait: perSecond((added) => added.lock_wait_ms / 1000),
    spins: per1000('spins'),
    retries: per1000('retries'),
  };
}

/** Undefined when it was interrupted. */
export async function measureProtocols(plan: ProtocolPlan, machine: string): Promise<ProtocolReport | undefined> {
  const combinations = safeCombinations();
  const samples = combinations.map((): Sample[] => []);
  for (let repetition = 0; repetition < plan.repeat; repetition++) {
    for (let i = 0; i < combinations.length; i++) {
      // The order turns by one place per repetition, so that a slow minute does not meet the same row each time.
      const at = (i + repetition) % combinations.length;
      if (plan.signal.aborted) return undefined;
      const sample = await visit(plan, combinations[at]!, repetition + 1);
      samples[at]!.push(sample);
      const { write, read } = sample;
      const figures = `${Math.round(write.iops)} writes/s, ${Math.round(read.iops)} reads/s`;
      plan.progress(`${repetition + 1}/${plan.repeat} ${formatCombination(combinations[at]!)}: ${figures}`);
    }
  }
  return {
    machine,
    date: new Date().toISOString().slice(0, 10),
    repeat: plan.repeat,
    seconds: plan.seconds,
    deviceBytes: plan.context.bytes,
    poolBytes: plan.context.bytes * POOL_SHARE,
    rows: combinations.map((combination, i) => rowOf(combination, samples[i]!)),
  };
}
