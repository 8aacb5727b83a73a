/** The page of one protocol: its idea, its rows of the matrix, its shortest traces, its cost. */
import { basename } from 'node:path';
import { formatTrace } from '#src/explore/report.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { PRESET_NAMES, PRESETS } from '#src/protocols/presets.js';
import type { ProtocolReport } from '../benchmark/protocols.ts';
import { safeCombinations } from '../support/safe_combinations.ts';
import { costLines } from './cost.ts';
import { SCENARIOS } from './expected_matrix.ts';
import { proseOf } from './prose.ts';
import { BOUND, type Shortest } from './shortest.ts';
import { stepsText } from './steps.ts';
import { type Row, rowsOf, type Subject } from './subjects.ts';
import { findingsOf, foundText, saidText } from './verdicts.ts';

export const REGENERATE = 'ZSWAPD_WRITE_PAGES=1 node dist/test/explore/pages.test.js';

/** What a page is made of, besides the matrix. */
interface Material {
  readonly subject: Subject;
  /** Text of its source file. */
  readonly source: string;
  /** By kind of finding: what the protocol is to blame for. */
  readonly traces: ReadonlyMap<string, Shortest>;
  readonly costs: ProtocolReport;
}

export function protocolPage(material: Material): string {
  const { subject, source, costs } = material;
  return [
    ...headLines(subject),
    '## Idea',
    '',
    proseOf(source),
    '',
    ...matrixLines(subject),
    ...traceLines(material),
    ...costLines(subject, costs),
    '---',
    '',
    `Generated from the header of [${basename(subject.source)}](${basename(subject.source)}), the expected matrix, and searches. To write it ` +
      `again after a build: \`${REGENERATE}\``,
    '',
  ].join('\n');
}

function headLines({ role, name, source }: Subject): string[] {
  const presets = PRESET_NAMES.filter((preset) => PRESETS[preset][role] === name).map((preset) => `\`${preset}\``);
  const safe = safeCombinations().filter((one) => one[role] === name);
  const unsafe =
    safe.length === 0
      ? 'needed in every combination'
      : `not needed in ${safe.length} of its combinations, see [safe combinations](../README.md#safe-combinations)`;
  return [
    `# ${name}`,
    '',
    `${role[0].toUpperCase()}${role.slice(1)} protocol, in [${basename(source)}](${basename(source)}). [All protocols](../README.md)`,
    '',
    `- Chosen by \`protocol.${role}=${name}\``,
    `- Presets that have it: ${presets.length === 0 ? 'none' : presets.join(', ')}`,
    `- \`unsafe: true\`: ${unsafe}`,
    '',
  ];
}

function matrixLines(subject: Subject): string[] {
  const rows = rowsOf(subject);
  const about =
    subject.role === 'entry'
      ? 'Its usual combination, and that with one thing changed at a time.'
      : 'In the usual combination of each entry protocol that it goes with.';
  return [
    '## Rows of the matrix',
    '',
    `${about} ${SCENARIOS.length} [scenarios](../README.md#matrix), every schedule with at most ${BOUND} preemptions; the first ` +
      'kind that is found counts.',
    '',
    '| Combination | Found | The server says at start |',
    '|---|---|---|',
    ...rows.map(rowLine),
    '',
  ];
}

function rowLine({ combination, label }: Row): string {
  return `| ${label}:<br>\`${formatCombination(combination)}\` | ${foundText(combination)} | ${saidText(combination)} |`;
}

function traceLines({ subject, traces }: Material): string[] {
  const head = ['## Shortest traces', ''];
  if (traces.size === 0) return [...head, cleanText(subject), ''];
  return [
    ...head,
    'Numbered: the steps of the protocol. In parentheses: what clients and the image see of it. `image`: the thread that writes ' +
      'the image and reclaims.',
    '',
    ...tracesText(traces),
  ];
}

/** A trace of each kind, and what their steps are. */
export function tracesText(traces: ReadonlyMap<string, Shortest>): string[] {
  return [
    ...[...traces].flatMap(([kind, shortest]) => traceOfKind(kind, shortest)),
    'Steps:',
    '',
    ...stepsText(traces.values()),
    '',
  ];
}

function traceOfKind(kind: string, { cell, trace }: Shortest): string[] {
  const [, ...lines] = formatTrace(trace).trimEnd().split('\n');
  const table = lines.slice(
    0,
    lines.findLastIndex((line) => line.startsWith('replay: ')),
  );
  return [
    `### ${kind[0].toUpperCase()}${kind.slice(1)}`,
    '',
    `\`${cell.scenario.name}\` (${cell.scenario.about}) under \`${formatCombination(cell.combination)}\`: ${trace.finding.text}.`,
    '',
    '```',
    ...table.join('\n').trimEnd().split('\n'),
    '```',
    '',
    '```sh',
    `node dist/main.js explore --replay '${trace.replay}'`,
    '```',
    '',
  ];
}

/** Findings in its rows are then somebody else's. */
function cleanText(subject: Subject): string {
  const { role } = subject;
  const others = rowsOf(subject).some(({ combination }) => findingsOf(combination).size > 0);
  const clean = `None: up to ${BOUND} preemptions nothing is found that it is to blame for, in ${SCENARIOS.length} scenarios.`;
  if (!others) return clean;
  const whose =
    role === 'entry'
      ? 'What its rows show comes with the one thing that was changed.'
      : `What its rows show is found with every other ${role} protocol that is allowed there as well.`;
  return `${clean} ${whose}`;
}
