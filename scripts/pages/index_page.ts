/** The index: what there is, which of it holds, and the matrix of the combinations that people are likely to choose. */

import type { Combination } from '#src/explore/cell.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { DEFAULT_COMBINATION, USUAL } from '#src/explore/search/combinations.js';
import { PRESET_NAMES, PRESETS } from '#src/protocols/combinations.js';
import { safeCombinations } from '#src/protocols/safe.js';
import { blamedOn } from './blame.ts';
import { EXPECTED, KINDS, SCENARIOS } from './expected_matrix.ts';
import { ideaOf } from './prose.ts';
import { REGENERATE } from './protocol_page.ts';
import { scenarioNamed } from './scenarios.ts';
import { BOUND } from './shortest.ts';
import { ENTRIES, ROLES, type Role, SUBJECTS, type Subject } from './subjects.ts';

const ABOUT: Readonly<Record<Role, string>> = {
  entry: 'who frees an entry, and how store, load, invalidate and writeback of one slot get along',
  swapoff: 'how trees are freed while a writeback may still use one',
  busy: 'what writeback does when the slot of its victim is in use',
  invalidate: 'how the entry of a slot that was freed is taken out of its tree',
};

export function indexPage(sourceOf: (subject: Subject) => string): string {
  return [
    '# Invalidation protocols',
    '',
    'A choice is one protocol of each kind, and switches. The interfaces, the contract and the lock order are in ' +
      '[protocol.ts](protocol.ts), the switches in [switches.ts](switches.ts), what is refused or broken in ' +
      '[combinations.ts](combinations.ts).',
    '',
    ...ROLES.map((role) => `- \`protocol.${role}\`: ${ABOUT[role]}`),
    '',
    ...ROLES.flatMap((role) => tableOf(role, sourceOf)),
    ...safeLines(),
    ...matrixLines(),
    '---',
    '',
    `Generated. To write it again after a build: \`${REGENERATE}\``,
    '',
  ].join('\n');
}

function tableOf(role: Role, sourceOf: (subject: Subject) => string): string[] {
  const lines = SUBJECTS.filter((subject) => subject.role === role).map((subject) => {
    const { from, idea } = ideaOf(sourceOf(subject), subject.name);
    return `| [${subject.name}](${subject.page}) | ${idea} | ${from} | ${standing(subject)} |`;
  });
  return [
    `## ${role[0].toUpperCase()}${role.slice(1)}`,
    '',
    '| Protocol | Idea | Where from | Holds? |',
    '|---|---|---|---|',
    ...lines,
    '',
  ];
}

function standing(subject: Subject): string {
  const blamed = blamedOn(subject);
  const kinds = Object.values(KINDS).filter((kind) => blamed.some((one) => one.kind === kind));
  const safe = safeCombinations().filter((one) => one[subject.role] === subject.name);
  if (safe.length === 0) return `no: ${kinds.join(', ')}`;
  const partners = ENTRIES.filter((entry) => safe.some((one) => one.entry === entry)).join(', ');
  const where = subject.role === 'entry' ? `in ${safe.length} combinations` : `with ${partners}`;
  if (kinds.length === 0) return `yes, ${where}`;
  const broken = [...new Set(blamed.map(({ combination }) => combination.entry))].join(', ');
  const without =
    subject.role === 'entry' ? `with a switch changed: ${kinds.join(', ')}` : `${kinds.join(', ')} with ${broken}`;
  return `yes, ${where}; ${without}`;
}

function safeLines(): string[] {
  const safe = safeCombinations();
  return [
    '## Safe combinations',
    '',
    `${safe.length} combinations need no \`unsafe: true\`; the first is the default.`,
    '',
    ...safe.map((one) => `- \`${formatCombination(one)}\``),
    '',
  ];
}

/** Presets and usual combinations, each once, with all its names. */
function matrixRows(): [string, string[]][] {
  const rows = new Map<string, string[]>();
  const add = (combination: Combination, name: string): void => {
    const formatted = formatCombination(combination);
    rows.set(formatted, [...(rows.get(formatted) ?? []), name]);
  };
  for (const preset of PRESET_NAMES) add({ ...DEFAULT_COMBINATION, ...PRESETS[preset] }, preset);
  for (const entry of ENTRIES) add(USUAL[entry], 'usual');
  return [...rows];
}

function matrixLines(): string[] {
  const rows = matrixRows();
  const width = Math.max(...rows.map(([formatted]) => formatted.length));
  const head = SCENARIOS.map((_, i) => String(i + 1).padStart(2)).join(' ');
  return [
    '## Matrix',
    '',
    `What the kernels had, and the usual combination of each entry protocol, against each scenario: the first kind that is ` +
      `found in any schedule with at most ${BOUND} preemptions. The whole, of ${Object.keys(EXPECTED).length} combinations:`,
    '',
    '```sh',
    'node dist/main.js explore --matrix',
    '```',
    '',
    '```',
    `${' '.repeat(width)}  ${head}`,
    ...rows.map(([formatted, names]) => {
      const signs = [...EXPECTED[formatted]].map((sign) => sign.padStart(2)).join(' ');
      return `${formatted.padEnd(width)}  ${signs}  ${names.join(', ')}`;
    }),
    '```',
    '',
    Object.entries(KINDS)
      .map(([sign, kind]) => `\`${sign}\` ${kind}`)
      .join(', '),
    '',
    ...SCENARIOS.map((name, i) => `${i + 1}. \`${name}\`: ${scenarioNamed(name).about}`),
    '',
  ];
}
