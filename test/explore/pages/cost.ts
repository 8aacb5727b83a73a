/** What was measured of the combinations that a protocol is part of: costs.json is `./scripts/bench --protocols --json`. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { safeCombinations } from '#src/protocols/safe.js';
import { formatCombination } from '#src/sim/replay_string.js';
import type { Subject } from './subjects.ts';

const rowSchema = z.object({
  combination: z.string(),
  iops: z.number(),
  iopsRange: z.tuple([z.number(), z.number()]),
  writeP99: z.number(),
  readP99: z.number(),
  writebacksPerSecond: z.number(),
  wasted: z.number(),
  skippedPerSecond: z.number(),
  lockWait: z.number(),
  spins: z.number(),
  retries: z.number(),
});
const costsSchema = z.object({
  machine: z.string(),
  date: z.string(),
  repeat: z.number(),
  seconds: z.number(),
  deviceBytes: z.number(),
  poolBytes: z.number(),
  rows: z.array(rowSchema),
});
export type Costs = z.infer<typeof costsSchema>;

export function readCosts(path: string): Costs {
  return costsSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
}

const HEAD = [
  'Combination',
  'IOPS (range)',
  'write p99, µs',
  'read p99, µs',
  'writebacks/s',
  'wasted',
  'skipped/s',
  'lock wait',
  'spins',
  'retries',
];

/** Lines of the section. */
export function costLines({ role, name }: Subject, costs: Costs): string[] {
  const safe = safeCombinations().filter((one) => one[role] === name);
  if (safe.length === 0) {
    const text = 'Not measured: no safe combination contains it, and a figure of one that loses data says nothing.';
    return ['## Cost', '', text, ''];
  }
  const names = safe.map((one) => formatCombination(one));
  const rows = costs.rows.filter(({ combination }) => names.includes(combination));
  const missing = names.filter((one) => !rows.some(({ combination }) => combination === one));
  const { repeat, seconds, deviceBytes, poolBytes, machine, date } = costs;
  return [
    '## Cost',
    '',
    `Measured by \`./scripts/bench --protocols\` on ${date}: ${repeat} × ${seconds} s each in one interleaved run, ` +
      `a device of ${mib(deviceBytes)} over a pool of ${mib(poolBytes)}. ${machine}`,
    '',
    `| ${HEAD.join(' | ')} |`,
    `|---${'|--:'.repeat(HEAD.length - 1)}|`,
    ...rows.map((row) => `| ${cellsOf(row).join(' | ')} |`),
    '',
    'Wasted: share of the written-back pages that were overwritten or trimmed before their image write ended. Skipped: ' +
      'victims that were busy or gone. Lock wait: share of the run that threads waited for locks. Spins and retries: per ' +
      '1000 requests.',
    '',
    ...(missing.length === 0 ? [] : [`Not in that run: ${missing.map((one) => `\`${one}\``).join(', ')}.`, '']),
  ];
}

function cellsOf(row: z.infer<typeof rowSchema>): string[] {
  const [least, most] = row.iopsRange;
  return [
    `\`${row.combination}\``,
    `${round(row.iops)} (${round(least)} to ${round(most)})`,
    round(row.writeP99),
    round(row.readP99),
    round(row.writebacksPerSecond),
    `${(row.wasted * 100).toFixed(1)} %`,
    round(row.skippedPerSecond),
    `${(row.lockWait * 100).toFixed(1)} %`,
    row.spins.toFixed(1),
    row.retries.toFixed(1),
  ];
}

function round(figure: number): string {
  return String(Math.round(figure)).replace(/\B(?=(\d{3})+$)/g, ' ');
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
