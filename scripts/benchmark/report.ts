/**
 * From samples to the figures that are shown: medians per row, the memory section, and each floor beside what was measured.
 */
import type { Collected, Problem, Sample } from './collect.ts';
import type { Workload } from './fio.ts';
import type { Machine } from './machine.ts';
import type { Holding, ServerKind } from './server.ts';
import { median, medianOf, range } from './statistics.ts';

export interface Row {
  readonly workload: string;
  readonly server: string;
  readonly iops: number;
  readonly iopsRange: readonly [number, number];
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly cpuSecondsPerGb: number;
  readonly residentBytesPerPage: number;
  readonly otherCores: number;
  readonly ratio?: number | undefined;
  readonly gcShare?: number | undefined;
  readonly shareBelow?: number | undefined;
  readonly samples: readonly Sample[];
}

interface MemoryRow {
  readonly data: '60 %' | 'mixed';
  readonly server: string;
  readonly storedPages: number;
  readonly residentBytesPerPage: number;
  readonly ratio?: number | undefined;
  readonly overhead?: number | undefined;
}

interface Floor {
  readonly name: string;
  /** Absent when one of its rows is. */
  readonly measured?: number | undefined;
  readonly wanted: number;
  readonly atLeast: boolean;
  readonly met?: boolean | undefined;
}

export interface Report {
  readonly machine: Machine;
  readonly repeat: number;
  readonly seconds: number;
  readonly deviceBytes: number;
  readonly servers: readonly { name: string; title: string }[];
  readonly workloads: readonly { name: string; title: string }[];
  readonly rows: readonly Row[];
  readonly memory: readonly MemoryRow[];
  readonly floors: readonly Floor[];
  readonly skipped: readonly Problem[];
  readonly failed: readonly Problem[];
}

const perPage = (holding: Holding): number => holding.residentBytes / Math.max(1, holding.storedPages);

function rowOf(workload: Workload, kind: ServerKind, samples: readonly Sample[]): Row {
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick));
  return {
    workload: workload.name,
    server: kind.name,
    iops: of((sample) => sample.iops),
    iopsRange: range(samples.map((sample) => sample.iops)),
    p50: of((sample) => sample.p50),
    p99: of((sample) => sample.p99),
    p999: of((sample) => sample.p999),
    cpuSecondsPerGb: of((sample) => sample.cpuSecondsPerGb),
    residentBytesPerPage: of((sample) => perPage(sample.holding)),
    otherCores: of((sample) => sample.otherCores),
    ratio: medianOf(samples.map((sample) => sample.holding.ratio)),
    gcShare: medianOf(samples.map((sample) => sample.gcShare)),
    shareBelow: medianOf(samples.map((sample) => sample.shareBelow)),
    samples,
  };
}

function memoryRow(data: MemoryRow['data'], server: string, holdings: readonly Holding[]): MemoryRow {
  return {
    data,
    server,
    storedPages: median(holdings.map((holding) => holding.storedPages)),
    residentBytesPerPage: median(holdings.map(perPage)),
    ratio: medianOf(holdings.map((holding) => holding.ratio)),
    overhead: medianOf(holdings.map((holding) => holding.overhead)),
  };
}

function floor(name: string, measured: number | undefined, wanted: number, atLeast: boolean): Floor {
  if (measured === undefined || Number.isNaN(measured)) return { name, wanted, atLeast };
  return { name, measured, wanted, atLeast, met: atLeast ? measured >= wanted : measured <= wanted };
}

function floorsOf(rows: readonly Row[], memory: readonly MemoryRow[]): Floor[] {
  const iops = (server: string, workload: string): number =>
    rows.find((row) => row.server === server && row.workload === workload)?.iops ?? Number.NaN;
  const overhead = (server: string, data: MemoryRow['data']): number =>
    memory.find((row) => row.server === server && row.data === data)?.overhead ?? Number.NaN;
  const write = 'randwrite-4k-qd16';
  const read = 'randread-4k-qd16';
  const points = iops('points', write) / iops('pointless', write);
  if (!Number.isNaN(points))
    return [floor('4 KiB write, depth 16: as served ÷ no scheduling points', points, 0.97, true)];
  const gc = rows.filter((row) => row.server === 'ours' && row.gcShare !== undefined).map((row) => row.gcShare! * 100);
  return [
    floor('4 KiB write, depth 16: ours ÷ nbdkit zstd', iops('ours', write) / iops('zstd', write), 8, true),
    floor('4 KiB write, depth 16: ours ÷ nbdkit zram', iops('ours', write) / iops('zram', write), 0.9, true),
    floor(
      '4 KiB write, depth 16: ours ÷ nbdkit zram, page cache',
      iops('ours', write) / iops('zram-cached', write),
      0.9,
      true,
    ),
    floor('4 KiB read, depth 16: ours ÷ nbdkit memory', iops('ours', read) / iops('memory', read), 1.2, true),
    floor('garbage collector, worst workload and thread, %', gc.length === 0 ? undefined : Math.max(...gc), 1, false),
    ...(['60 %', 'mixed'] as const).map((data) =>
      floor(
        `memory ÷ compressed bytes, ${data} data: ours ÷ zram`,
        overhead('ours', data) / overhead('zram', data),
        1.1,
        false,
      ),
    ),
  ];
}

export function makeReport(
  collected: Collected,
  servers: readonly ServerKind[],
  workloads: readonly Workload[],
  facts: Pick<Report, 'machine' | 'repeat' | 'seconds' | 'deviceBytes' | 'skipped'>,
): Report {
  const rows = workloads.flatMap((workload) =>
    servers.flatMap((kind) => {
      const samples = collected.samples.get(kind.name)?.get(workload.name);
      return samples === undefined ? [] : [rowOf(workload, kind, samples)];
    }),
  );
  const memory = [
    ...[...collected.filled].map(([server, holdings]) => memoryRow('60 %', server, holdings)),
    ...[...collected.filledMixed].map(([server, holding]) => memoryRow('mixed', server, [holding])),
  ].sort((a, b) => order(servers, a.server) - order(servers, b.server));
  const names = <T extends { name: string; title: string }>(list: readonly T[]) =>
    list.map(({ name, title }) => ({ name, title }));
  return {
    ...facts,
    servers: names(servers),
    workloads: names(workloads),
    rows,
    memory,
    floors: floorsOf(rows, memory),
    failed: collected.failed,
  };
}

const order = (servers: readonly ServerKind[], name: string): number => servers.findIndex((kind) => kind.name === name);
