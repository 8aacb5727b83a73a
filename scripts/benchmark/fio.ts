/**
 * fio's nbd engine: fills a device with compressible pages and loads it. Each 4 KiB chunk of a buffer is 40 % random bytes
 * and 60 % zeros and is made anew for each request, so that every page compresses to about 1650 bytes and none repeats.
 */
import { readFileSync, rmSync } from 'node:fs';
import { Child } from '../support/child.ts';

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly mode: 'randwrite' | 'randread' | 'write' | 'read';
  readonly blockBytes: number;
  readonly depth: number;
}

const workload = (mode: Workload['mode'], kib: number, depth: number): Workload => ({
  name: `${mode}-${kib}k-qd${depth}`,
  title: `${kib} KiB ${mode.startsWith('rand') ? 'random' : 'sequential'} ${mode.replace('rand', '')}, depth ${depth}`,
  mode,
  blockBytes: kib * 1024,
  depth,
});

/** Writes come before reads of the same kind, over a full device: every write replaces a page, every read decompresses one. */
export const WORKLOADS: readonly Workload[] = [
  workload('randwrite', 4, 1),
  workload('randwrite', 4, 16),
  workload('randread', 4, 1),
  workload('randread', 4, 16),
  workload('write', 64, 8),
  workload('read', 64, 8),
];

export interface Measured {
  readonly iops: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Latencies in microseconds, from fio's call into its engine to the completion. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

interface FioSide {
  iops: number;
  io_bytes: number;
  runtime: number;
  lat_ns: { percentile?: Record<string, number> };
}

export const compressible = (percent: number): string[] => [
  '--refill_buffers=1',
  `--buffer_compress_percentage=${percent}`,
  '--buffer_compress_chunk=4096',
];

/** The side of each job that moved bytes. Killed when it outlives the limit. */
export async function run(args: readonly string[], output: string, limitSeconds: number): Promise<FioSide[]> {
  // One process with threads: a forked job would outlive a killed fio, and be a child of nobody.
  const child = new Child('fio', ['--thread', '--eta=never', '--output-format=json', `--output=${output}`, ...args]);
  if ((await child.finish(limitSeconds)).code !== 0) throw new Error(child.describe());
  const text = readFileSync(output, 'utf8');
  rmSync(output);
  // The nbd engine prints its greeting into the same file, before the document.
  const report = JSON.parse(text.slice(text.indexOf('{'))) as {
    jobs: { error: number; read: FioSide; write: FioSide; trim: FioSide }[];
  };
  const failed = report.jobs.find((job) => job.error !== 0);
  if (failed !== undefined) throw new Error(`fio: error ${failed.error}: ${child.describe()}`);
  return report.jobs.map((job) => [job.read, job.write, job.trim].find((side) => side.io_bytes > 0) ?? job.write);
}

export function measured(side: FioSide): Measured {
  const at = (key: string): number => (side.lat_ns.percentile?.[key] ?? Number.NaN) / 1000;
  return {
    iops: side.iops,
    bytes: side.io_bytes,
    seconds: side.runtime / 1000,
    p50: at('50.000000'),
    p99: at('99.000000'),
    p999: at('99.900000'),
  };
}

/** Writes the whole device once. The seed is fixed, so every server stores the same pages. */
export async function fill(uri: string, bytes: number, output: string): Promise<void> {
  const args = ['--name=fill', '--ioengine=nbd', `--uri=${uri}`, '--rw=write', '--bs=64k', '--iodepth=8'];
  await run([...args, `--size=${bytes}`, '--randseed=42', ...compressible(60)], output, 600);
}

/** Writes the device once in stripes that compress by different amounts, as the pages of a real machine do. */
export async function fillMixed(uri: string, bytes: number, output: string): Promise<void> {
  const percents = [20, 35, 45, 55, 65, 75, 85, 95];
  const stripe = Math.floor(bytes / percents.length / 65536) * 65536;
  const jobs = percents.flatMap((percent, i) => [
    `--name=stripe${i}`,
    ...(i === 0 ? [] : ['--stonewall']),
    ...['--ioengine=nbd', `--uri=${uri}`, '--rw=write', '--bs=64k', '--iodepth=8', '--randseed=42'],
    ...[`--offset=${i * stripe}`, `--size=${stripe}`, ...compressible(percent)],
  ]);
  await run(jobs, output, 600);
}

export async function load(
  uri: string,
  work: Workload,
  options: { bytes: number; seconds: number; seed: number; output: string },
): Promise<Measured> {
  const args = [
    `--name=${work.name}`,
    '--ioengine=nbd',
    `--uri=${uri}`,
    `--rw=${work.mode}`,
    `--bs=${work.blockBytes}`,
  ];
  args.push(`--iodepth=${work.depth}`, `--size=${options.bytes}`, '--time_based', `--runtime=${options.seconds}`);
  args.push('--norandommap', `--randseed=${options.seed}`, '--lat_percentiles=1', '--percentile_list=50:99:99.9');
  const [side] = await run([...args, ...compressible(60)], options.output, options.seconds * 3 + 60);
  return measured(side!);
}

/** Trims a second in the mix: enough to meet writebacks, too few to empty the pool. */
const MIX_TRIMS = 2000;

/** Writes, reads and trims of random pages at the same time, each on a connection of its own. */
export async function mix(
  uri: string,
  options: { bytes: number; seconds: number; seed: number; output: string },
): Promise<{ write: Measured; read: Measured; trim: Measured }> {
  const job = (mode: string, depth: number, ...more: string[]): string[] => [
    `--name=${mode}`,
    '--ioengine=nbd',
    `--uri=${uri}`,
    ...[`--rw=${mode}`, '--bs=4096', `--iodepth=${depth}`, `--size=${options.bytes}`, '--norandommap'],
    ...['--time_based', `--runtime=${options.seconds}`, `--randseed=${options.seed}`],
    ...['--lat_percentiles=1', '--percentile_list=50:99:99.9', ...more],
  ];
  const jobs = [
    ...job('randwrite', 8, ...compressible(60)),
    ...job('randread', 8),
    ...job('randtrim', 1, `--rate_iops=${MIX_TRIMS}`),
  ];
  const [write, read, trim] = await run(jobs, options.output, options.seconds * 3 + 60);
  return { write: measured(write!), read: measured(read!), trim: measured(trim!) };
}
