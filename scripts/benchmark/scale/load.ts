/**
 * The load of `--scale`: fio with a job on each export at once, within the clusters that hold pages. A job makes 16 requests at
 * random in one cluster and goes on to the next, so that it is all over the device within a second.
 */
import { compressible, measured, run } from '../fio.ts';
import { median } from '../statistics.ts';
import { CLUSTER_BYTES } from './variants.ts';

/** Of each job. */
const DEPTH = 8;
const BYTES_PER_VISIT = 16 * 4096;

export interface LoadPlan {
  /** One for each export. */
  readonly uris: readonly string[];
  readonly exportBytes: number;
  /** On each export, in clusters of which each begins so many bytes behind the one before. */
  readonly dataBytes: number;
  readonly strideBytes: number;
  /** For fio's report. */
  readonly output: string;
}

export interface Speed {
  /** Of all exports together. */
  readonly iops: number;
  /** Microseconds, the median of the exports'. */
  readonly p99: number;
}

function jobs(plan: LoadPlan, more: readonly string[]): string[] {
  return plan.uris.flatMap((uri, x) => [
    `--name=export${x}`,
    ...['--ioengine=nbd', `--uri=${uri}`, `--iodepth=${DEPTH}`, `--size=${plan.exportBytes}`],
    ...['--zonemode=strided', `--zonerange=${CLUSTER_BYTES}`, `--zoneskip=${plan.strideBytes - CLUSTER_BYTES}`],
    ...more,
  ]);
}

/** Writes each page once. The seed is fixed, so that every row stores the same pages. */
export async function fillClusters(plan: LoadPlan): Promise<void> {
  const amount = ['--rw=write', '--bs=64k', `--io_size=${plan.dataBytes}`, `--zonesize=${CLUSTER_BYTES}`];
  const sides = await run(jobs(plan, [...amount, '--randseed=42', ...compressible(60)]), plan.output, 300);
  const written = sides.reduce((sum, side) => sum + side.io_bytes, 0);
  if (written !== plan.dataBytes * plan.uris.length) throw new Error(`fio wrote ${written} bytes, not all clusters`);
}

export async function loadClusters(
  plan: LoadPlan,
  o: { readonly mode: 'randwrite' | 'randread'; readonly seconds: number; readonly seed: number },
): Promise<Speed> {
  const time = ['--norandommap', '--time_based', `--runtime=${o.seconds}`, `--randseed=${o.seed}`];
  const what = [`--rw=${o.mode}`, '--bs=4096', `--zonesize=${BYTES_PER_VISIT}`];
  const shown = ['--lat_percentiles=1', '--percentile_list=99'];
  const sides = await run(
    jobs(plan, [...what, ...time, ...shown, ...compressible(60)]),
    plan.output,
    o.seconds * 3 + 60,
  );
  const speeds = sides.map(measured);
  return {
    iops: speeds.reduce((sum, { iops }) => sum + iops, 0),
    p99: median(speeds.map(({ p99 }) => p99)),
  };
}
