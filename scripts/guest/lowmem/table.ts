// The table that --low-memory ends with.
import { megabytes } from '../report.ts';
import { type Cell, settingsOf } from './cells.ts';
import type { Ending } from './ending.ts';

export interface Row {
  readonly cell: Cell;
  readonly ending: Ending;
  /** What the guest said of its memory when the load began. */
  readonly started: string;
  readonly swappedOut: number;
  readonly swappedIn: number;
  readonly seconds: number;
}

const HEAD = [
  '| RAM, MiB | attached | set | hogs | ending | MB out, in | s | again: `./scripts/vm --low-memory --cell …` |',
  '|---|---|---|---|---|---|---|---|',
];

export function tableOf(rows: readonly Row[]): string {
  return [...HEAD, ...rows.map(lineOf)].map((line) => `${line}\n`).join('');
}

function lineOf({ cell, ending, started, swappedOut, swappedIn, seconds }: Row): string {
  const free = /available=(\d+)/.exec(started)?.[1] ?? '?';
  const each = /hog_mib=(\d+)/.exec(started)?.[1] ?? '?';
  const cells = [
    cell.ramMib,
    cell.attach,
    settingsOf(cell),
    `2 × ${each} of ${free} MiB free`,
    `**${ending.kind}**${ending.why === '' ? '' : `: ${ending.why.replaceAll('|', '/')}`}`,
    `${megabytes(swappedOut)}, ${megabytes(swappedIn)}`,
    seconds.toFixed(0),
    cell.name,
  ];
  return `| ${cells.join(' | ')} |`;
}
