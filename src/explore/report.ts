/** A failing run as people read it: a table of threads in the manner of the mailing list, and the same as JSON. */
import type { Cell } from './cell.ts';
import type { Outcome } from './run.ts';
import { formatReplay } from './schedule/replay_string.ts';
import { sourceLine } from './source_lines.ts';

export interface Trace {
  readonly finding: { readonly kind: string; readonly text: string };
  /** Numbered protocol steps. */
  readonly steps: number;
  readonly preemptions: number;
  readonly replay: string;
  readonly threads: readonly string[];
  readonly lines: readonly {
    readonly thread: number;
    /** A numbered step of a protocol, or what the explorer's own actors tell. */
    readonly kind: string;
    readonly text: string;
    readonly source: string;
  }[];
}

/** `outcome` was recorded with everything that a report shows. */
export function traceOf(cell: Cell, outcome: Outcome): Trace | null {
  const { finding, schedule, steps, preemptions } = outcome;
  if (finding === null) return null;
  const threads = [...cell.scenario.actors.map(({ name }) => name), 'image'];
  const named = finding.text.replace(/@(\d)/g, (_, actor) => threads[Number(actor)] ?? actor);
  const lines = outcome.lines.map(({ actor, kind, text, at }) => ({
    thread: actor,
    kind,
    text,
    source: at === undefined ? '' : sourceLine(at),
  }));
  const { name } = cell.scenario;
  const replay = formatReplay({ scenario: name, combination: cell.combination, schedule });
  return { finding: { kind: finding.kind, text: named }, steps, preemptions, replay, threads, lines };
}

const COLUMN_MIN = 14;

export function formatTrace(trace: Trace): string {
  const used = trace.threads.map((_, thread) => trace.lines.some((line) => line.thread === thread));
  const columns = trace.threads.flatMap((name, thread) => (used[thread] ? [{ thread, head: `${name}` }] : []));
  let number = 0;
  const rows = trace.lines.map((line) => ({
    thread: line.thread,
    text: line.kind === 'step' ? `${++number}. ${line.text}` : `(${line.text})`,
    source: line.source,
  }));
  const widths = columns.map(({ thread, head }) =>
    Math.max(COLUMN_MIN, head.length, ...rows.filter((row) => row.thread === thread).map((row) => row.text.length)),
  );
  const cells = (texts: string[]): string => texts.map((text, i) => text.padEnd(widths[i])).join(' | ');
  const table = rows.map((row) => {
    const texts = columns.map(({ thread }) => (thread === row.thread ? row.text : ''));
    return `  ${cells(texts)}${row.source === '' ? '' : `   ${row.source}`}`.trimEnd();
  });
  return [
    `${trace.finding.kind}: ${trace.finding.text}`,
    `${trace.steps} steps, ${trace.preemptions} preemption${trace.preemptions === 1 ? '' : 's'}`,
    '',
    `  ${cells(columns.map(({ head }) => head))}`.trimEnd(),
    `  ${widths.map((width) => '-'.repeat(width)).join('-+-')}`,
    ...table,
    '',
    `replay: ${trace.replay}`,
    '',
  ].join('\n');
}
