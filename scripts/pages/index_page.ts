/** The index: what there is, which of it holds, and the matrix of the combinations that people are likely to choose. */

import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { USUAL } from '#src/protocols/combinations.js';
import { type Combination, ROLE_TEXTS, ROLES, type Role } from '#src/protocols/index.js';
import { LRU_TEXTS } from '#src/protocols/lru/pages.js';
import { PRESET_NAMES, PRESETS } from '#src/protocols/presets.js';
import { safeCombinations } from '../support/safe_combinations.ts';
import { blamedOn } from './blame.ts';
import { EXPECTED, KINDS, SCENARIOS } from './expected_matrix.ts';
import { NO_RACE, PRESET_ROWS } from './expected_pages.ts';
import { LRU_PAGE } from './lru_page.ts';
import { ideaOf } from './prose.ts';
import { REGENERATE } from './protocol_page.ts';
import { scenarioNamed } from './scenarios.ts';
import { BOUND } from './shortest.ts';
import { ENTRIES, SUBJECTS, type Subject } from './subjects.ts';

export function indexPage(sourceOf: (subject: Subject) => string): string {
  return [
    '# Invalidation protocols',
    '',
    'A choice is one protocol of each kind, and switches. The interfaces, the contract and the lock order are in ' +
      '[protocol.ts](protocol.ts). Each file says of its protocol what it goes with, what it refuses, how it is broken and which ' +
      'switches it has ([declaration.ts](declaration.ts)); [combinations.ts](combinations.ts) puts that together, ' +
      '[presets.ts](presets.ts) has what the kernels had. A new protocol is a file, its place in a list of ' +
      '[index.ts](index.ts), and its rows in [expected_matrix.ts](../../scripts/pages/expected_matrix.ts).',
    '',
    ...ROLES.map((role) => `- \`protocol.${role}\`: ${ROLE_TEXTS[role]}`),
    '- `protocol.lru`: What reclaim goes by.',
    '',
    ...ROLES.flatMap((role) => tableOf(role, sourceOf)),
    ...lruLines(),
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

function lruLines(): string[] {
  return [
    '## Lru',
    '',
    `- entries: ${LRU_TEXTS.entries}`,
    `- [allocator](${LRU_PAGE}): ${LRU_TEXTS.allocator}. It is no part of the matrix; its races have scenarios of their own.`,
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
  for (const preset of PRESET_NAMES) add(PRESETS[preset], preset);
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
      const signs = [...(EXPECTED[formatted] ?? PRESET_ROWS[formatted])].map((sign) => sign.padStart(2)).join(' ');
      return `${formatted.padEnd(width)}  ${signs}  ${names.join(', ')}`;
    }),
    '```',
    '',
    Object.entries(KINDS)
      .concat([[NO_RACE, 'no race of reclaim by pages, which earlier kernels had']])
      .map(([sign, kind]) => `\`${sign}\` ${kind}`)
      .join(', '),
    '',
    ...SCENARIOS.map((name, i) => `${i + 1}. \`${name}\`: ${scenarioNamed(name).about}`),
    '',
    'A dot says nothing of what is not modelled: the futex path of a lock that is contended (here a lock is taken, or waited ' +
      'for, in one step); weak memory (steps are sequentially consistent, and a plain access is checked against the lock, the ' +
      'pin or the life that owns it); the timer of the maintenance of the pool; sockets.',
    '',
  ];
}
