/** From the visits to the figures that are shown: medians, and each row beside the first one. */
import { median, range } from '../statistics.ts';
import type { AllocatorReport } from './allocators.ts';
import { titleOf, type Variant } from './variants.ts';
import type { Visit } from './visit.ts';

/** How far the slowest row may be from the fastest one. */
const WANTED = 1.2;

interface Figure {
  readonly median: number;
  readonly range: readonly [number, number];
}

export interface SpeedFigure extends Figure {
  /** Over that of the first row. */
  readonly ratio: number;
  /** Microseconds. */
  readonly p99: number;
}

export interface ScaleRow {
  readonly title: string;
  readonly write: SpeedFigure;
  readonly read: SpeedFigure;
  readonly residentBytes: number;
  readonly metadataBytesPerPage: number;
  readonly owners?: { readonly perSecond: Figure; readonly bytesPerChange: number };
}

export interface ScaleReport {
  readonly machine: string;
  readonly date: string;
  /** Repetitions that were made. */
  readonly repeat: number;
  readonly seconds: number;
  /** On each of the exports. */
  readonly dataBytes: number;
  readonly rows: readonly ScaleRow[];
  /** The fastest row over the slowest one. */
  readonly spread: { readonly write: number; readonly read: number };
  readonly wanted: number;
  /** Absent where no corpus was given. */
  readonly allocators?: AllocatorReport;
}

type Facts = Pick<ScaleReport, 'machine' | 'date' | 'seconds' | 'dataBytes'>;

/** `visits`: of each variant one for each repetition. */
export function makeScaleReport(
  facts: Facts,
  variants: readonly Variant[],
  visits: readonly (readonly Visit[])[],
  allocators?: AllocatorReport,
): ScaleReport {
  const first = visits[0]!;
  const rows = variants.map((variant, i) => rowOf(variant, visits[i]!, first));
  const spread = (kind: 'write' | 'read'): number => {
    const [least, most] = range(rows.map((row) => row[kind].median));
    return most / least;
  };
  return {
    ...facts,
    repeat: first.length,
    rows,
    spread: { write: spread('write'), read: spread('read') },
    wanted: WANTED,
    ...(allocators === undefined ? {} : { allocators }),
  };
}

function rowOf(variant: Variant, visits: readonly Visit[], first: readonly Visit[]): ScaleRow {
  const owners = visits.flatMap((visit) => (visit.owners === undefined ? [] : [visit.owners]));
  const row = {
    title: titleOf(variant),
    write: speedOf('write', visits, first),
    read: speedOf('read', visits, first),
    residentBytes: median(visits.map(({ residentBytes }) => residentBytes)),
    metadataBytesPerPage: median(visits.map(({ metadataBytesPerPage }) => metadataBytesPerPage)),
  };
  if (owners.length === 0) return row;
  const bytesPerChange = median(owners.map((one) => one.bytesPerChange));
  return { ...row, owners: { perSecond: figure(owners.map(({ perSecond }) => perSecond)), bytesPerChange } };
}

function speedOf(kind: 'write' | 'read', visits: readonly Visit[], first: readonly Visit[]): SpeedFigure {
  const iops = figure(visits.map((visit) => visit[kind].iops));
  const ratio = iops.median / median(first.map((visit) => visit[kind].iops));
  return { ...iops, ratio, p99: median(visits.map((visit) => visit[kind].p99)) };
}

function figure(values: readonly number[]): Figure {
  return { median: median(values), range: range(values) };
}
