/** What was measured of the combinations that a protocol is part of: costs.json is `./scripts/bench --protocols --json`. */
import { readFileSync } from 'node:fs';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import type { ProtocolReport, ProtocolRow } from '../benchmark/protocols.ts';
import { thousands } from '../benchmark/table.ts';
import { safeCombinations } from '../support/safe_combinations.ts';
import type { Subject } from './subjects.ts';

export function readCosts(path: string): ProtocolReport {
  return JSON.parse(readFileSync(path, 'utf8'));
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
export function costLines({ role, name }: Subject, costs: ProtocolReport): string[] {
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

function cellsOf(row: ProtocolRow): string[] {
  const [least, most] = row.iopsRange;
  return [
    `\`${row.combination}\``,
    `${thousands(row.iops)} (${thousands(least)} to ${thousands(most)})`,
    thousands(row.writeP99),
    thousands(row.readP99),
    thousands(row.writebacksPerSecond),
    `${(row.wasted * 100).toFixed(1)} %`,
    thousands(row.skippedPerSecond),
    `${(row.lockWait * 100).toFixed(1)} %`,
    row.spins.toFixed(1),
    row.retries.toFixed(1),
  ];
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
