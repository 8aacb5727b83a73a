/** The cost of the protocols as text: one line per safe combination, the default first. */
import type { ProtocolReport, ProtocolRow } from './protocols.ts';
import { fixed, layOut, percent, thousands } from './table.ts';

const HEAD = [
  'entry + swapoff + busy + invalidate',
  ...['requests/s', 'min..max', 'write p99', 'read p99', 'writebacks/s', 'wasted', 'skipped/s'],
  ...['lock wait', 'spins', 'retries'],
];

function cells(row: ProtocolRow): string[] {
  return [
    row.combination,
    thousands(row.iops),
    `${thousands(row.iopsRange[0])}..${thousands(row.iopsRange[1])}`,
    fixed(row.writeP99, 0),
    fixed(row.readP99, 0),
    thousands(row.writebacksPerSecond),
    percent(row.wasted, 2),
    fixed(row.skippedPerSecond, 1),
    percent(row.lockWait, 3),
    fixed(row.spins, 2),
    fixed(row.retries, 2),
  ];
}

export function renderProtocols(report: ProtocolReport): string {
  const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
  return [
    report.machine,
    `${report.repeat} repetitions of ${report.seconds} s, medians; a device of ${mib(report.deviceBytes)}, full of pages that are 60 % zeros, on a`,
    `pool of ${mib(report.poolBytes)}, two lanes; random 4 KiB writes (depth 8), reads (depth 8) and trims (2000/s), a connection each`,
    '',
    ...layOut([HEAD, ...report.rows.map(cells)]),
    '',
    'requests/s: of all three kinds. p99 in µs. writebacks/s: pages that left the pool for the image. wasted: those whose slot',
    'was overwritten or trimmed before the image had them. skipped/s: victims that were busy or gone. lock wait: time that',
    'threads waited for locks, all threads together, of the run. spins (looks at a word before sleeping on it) and retries',
    '(waits for another thread that are not for a lock): per 1000 requests.',
  ].join('\n');
}
