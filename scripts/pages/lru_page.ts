/** The page of reclaim by pages: its idea, its verdicts, and the shortest trace of each fault that it had. */

import { PAGE_SCENARIOS } from '#src/explore/scenarios/scenarios_pages.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { LRU_TEXTS } from '#src/protocols/lru/pages.js';
import type { Blamed } from './blame.ts';
import { expectedOfPages, PAGE_ROWS, PAGE_SCENARIO_NAMES } from './expected_pages.ts';
import { proseOf } from './prose.ts';
import { REGENERATE, tracesText } from './protocol_page.ts';
import { BOUND, type Shortest } from './shortest.ts';

export const LRU_PAGE = 'lru/pages.md';
export const LRU_SOURCE = 'lru/pages.ts';

/** What reclaim by pages is to blame for itself, and not its entry protocol: what one of its switches brings. */
export function blamedOnPages(): Blamed[] {
  return PAGE_ROWS.filter(
    ({ combination: { earlyReference, placeByChunks } }) => earlyReference || placeByChunks,
  ).flatMap(({ combination }) =>
    PAGE_SCENARIO_NAMES.map((scenario) => ({
      combination,
      scenario,
      kind: expectedOfPages(formatCombination(combination), scenario),
    })).filter(({ kind }) => kind !== 'clean'),
  );
}

export function lruPage(source: string, traces: ReadonlyMap<string, Shortest>): string {
  return [
    '# allocator',
    '',
    'What reclaim goes by, in [pages.ts](pages.ts). [All protocols](../README.md)',
    '',
    '- Chosen by `protocol.lru=allocator`, with `pool.allocator=zbud` or `z3fold`',
    '- Presets that have it: `v3.12`, `v3.13`, `v6.4`',
    `- In its place: \`entries\`: ${LRU_TEXTS.entries}`,
    '',
    '## Idea',
    '',
    proseOf(source),
    '',
    '## Verdicts',
    '',
    `Every schedule with at most ${BOUND} preemptions; the first kind that is found counts.`,
    '',
    `| | ${PAGE_SCENARIO_NAMES.map((name) => `\`${name}\``).join(' | ')} |`,
    `|---|${PAGE_SCENARIO_NAMES.map(() => '---|').join('')}`,
    ...PAGE_ROWS.map(({ combination, label }) => {
      const name = formatCombination(combination);
      return `| ${label} | ${PAGE_SCENARIO_NAMES.map((scenario) => expectedOfPages(name, scenario)).join(' | ')} |`;
    }),
    '',
    ...PAGE_SCENARIOS.map(({ name, about }) => `- \`${name}\`: ${about}`),
    '',
    '## Shortest traces',
    '',
    ...tracesText(traces),
    '---',
    '',
    `Generated. To write it again after a build: \`${REGENERATE}\``,
    '',
  ].join('\n');
}
