/** The report as text: one table grouped by workload, then memory, garbage collector, floors and what was left out. */
import { machineLine } from './machine.ts';
import type { Report, Row } from './report.ts';

/** The first column to the left, the others to the right. */
export function layOut(lines: readonly (readonly string[])[]): string[] {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  );
}

export const fixed = (value: number | undefined, digits: number): string =>
  value === undefined ? '-' : value.toFixed(digits);
export const percent = (share: number | undefined, digits: number): string =>
  share === undefined ? '-' : `${(share * 100).toFixed(digits)} %`;

export function thousands(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
}

function rowCells(row: Row, title: string): string[] {
  return [
    `  ${title}`,
    thousands(row.iops),
    `${thousands(row.iopsRange[0])}..${thousands(row.iopsRange[1])}`,
    fixed(row.p50, 0),
    fixed(row.p99, 0),
    fixed(row.p999, 0),
    fixed(row.cpuSecondsPerGb, 2),
    fixed(row.residentBytesPerPage, 0),
    fixed(row.ratio, 2),
    percent(row.gcShare, 2),
    fixed(row.otherCores, 2),
  ];
}

const HEAD = ['', 'IOPS', 'min..max', 'p50 µs', 'p99 µs', 'p99.9 µs', 'CPU s/GB', 'B/page', 'ratio', 'GC', 'others'];

function mainTable(report: Report): string[] {
  const titles = new Map(report.servers.map((server) => [server.name, server.title]));
  const lines: string[][] = [HEAD];
  const headings = new Map<number, string>();
  for (const workload of report.workloads) {
    headings.set(lines.length, workload.title);
    lines.push(HEAD.map(() => ''));
    for (const row of report.rows.filter((candidate) => candidate.workload === workload.name)) {
      lines.push(rowCells(row, titles.get(row.server)!));
    }
  }
  return layOut(lines).map((line, i) => headings.get(i) ?? line);
}

function memorySection(report: Report): string[] {
  if (report.memory.length === 0) return [];
  const titles = new Map(report.servers.map((server) => [server.name, server.title]));
  const lines = report.memory.map((row) => [
    `  ${titles.get(row.server)!}`,
    row.data,
    thousands(row.storedPages),
    fixed(row.residentBytesPerPage, 0),
    fixed(row.ratio, 3),
    fixed(row.overhead, 3),
  ]);
  const head = ['', 'data', 'stored pages', 'B/page', 'ratio', 'memory ÷ compressed'];
  return ['', 'Memory, filled once', ...layOut([head, ...lines])];
}

function floorSection(report: Report): string[] {
  const lines = report.floors.map((floor) => [
    `  ${floor.name}`,
    fixed(floor.measured, 2),
    `${floor.atLeast ? '≥' : '≤'} ${floor.wanted}`,
    floor.met === undefined ? 'not measured' : floor.met ? 'met' : 'NOT MET',
  ]);
  return ['', 'Floors', ...layOut([['', 'measured', 'wanted', ''], ...lines])];
}

function notes(report: Report): string[] {
  const shares = report.rows.filter((row) => row.shareBelow !== undefined);
  const titles = new Map(report.servers.map((server) => [server.name, server.title]));
  return [
    '',
    'CPU s/GB: user and system time of the server process per 10^9 bytes moved. Compression that the kernel does in its own',
    'threads (zram behind the page cache) is in no process and so in no figure.',
    'B/page: growth of resident memory over stored pages; with tmpfs file, zram memory and page cache of the device, if any.',
    'GC: share of the run that the worst thread spent in the garbage collector. others: processors kept busy by neither fio nor',
    'the server; kernel threads that compress for zram are among them, the rest is other programs, and noise in the figures.',
    'ratio: page bytes over compressed bytes as the server or zram counts them; nbdkit zstd counts nothing, so over its growth.',
    'memory ÷ compressed: pool and metadata, or zram mem_used_total (without its slot table), over compressed bytes.',
    ...shares.map(
      (row) =>
        `${titles.get(row.server)}, ${row.workload}: ${percent(row.shareBelow, 0)} of the bytes had reached zram at the end.`,
    ),
  ];
}

export function renderReport(report: Report): string {
  const titles = `${report.repeat} repetitions of ${report.seconds} s, medians; devices of ${report.deviceBytes / 2 ** 20} MiB, full of`;
  return [
    machineLine(report.machine),
    `${titles} pages that are 60 % zeros; fio's nbd engine, one connection, unix socket`,
    '',
    ...mainTable(report),
    ...memorySection(report),
    ...floorSection(report),
    ...report.skipped.map((problem) => `skipped ${problem.server}: ${problem.reason}`),
    ...report.failed.map((problem) => `failed ${problem.server}: ${problem.reason}`),
    ...notes(report),
  ].join('\n');
}
