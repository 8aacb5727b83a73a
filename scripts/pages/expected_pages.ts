/**
 * Expected verdicts of reclaim by pages of the allocator: what is said here tests hold against explorations. Letters as in
 * expected_matrix.ts. Beside the rows with lists of entries the presets lose the double unlink of two-writebacks: a page
 * that is claimed keeps a second reclaimer away, as it did in those kernels.
 */

import { PAGE_SCENARIOS } from '#src/explore/scenarios/scenarios_pages.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import type { Combination } from '#src/protocols/index.js';
import { PRESETS } from '#src/protocols/presets.js';
import { KINDS, SCENARIOS } from './expected_matrix.ts';

export const PAGE_SCENARIO_NAMES: readonly string[] = PAGE_SCENARIOS.map(({ name }) => name);

const HOLDS: Combination = {
  entry: 'refcount-2013',
  swapoff: 'free-immediately',
  busy: 'skip-eexist',
  invalidate: 'erase',
  lru: 'allocator',
};
const FIXED: Combination = { ...HOLDS, leakFix: true, validate: true };

interface PageRow {
  readonly combination: Combination;
  readonly label: string;
  /** Against PAGE_SCENARIOS. */
  readonly pages: string;
}

export const PAGE_ROWS: readonly PageRow[] = [
  { combination: PRESETS['v3.12'], label: 'v3.12', pages: 'LSL..SLLLL' },
  { combination: PRESETS['v3.13'], label: 'v3.13', pages: '.S...S....' },
  { combination: PRESETS['v6.4'], label: 'v6.4', pages: '..........' },
  { combination: FIXED, label: 'v6.4, and writeback leaves a busy slot', pages: '..........' },
  { combination: { ...FIXED, earlyReference: true }, label: 'with `earlyReference`', pages: '.......KKK' },
  { combination: { ...FIXED, placeByChunks: true }, label: 'with `placeByChunks`', pages: '.......U..' },
];

/** No race of reclaim by pages (misfit.ts). */
export const NO_RACE = '-';

/** What the presets that reclaim by pages come to in the scenarios of the matrix. */
export const PRESET_ROWS: Readonly<Record<string, string>> = {
  [formatCombination(PRESETS['v3.12'])]: 'LSLL.UUU...UU.L------.......LL.S.....XL.',
  [formatCombination(PRESETS['v3.13'])]: '.S...UUU...UU..------........S.S.....XS.',
  [formatCombination(PRESETS['v6.4'])]: '.....UUU...UU..------...................',
};

/** `combination` as in a replay string. */
export function expectedOfPages(combination: string, scenario: string): string {
  const row = PAGE_ROWS.find((one) => formatCombination(one.combination) === combination);
  const at = PAGE_SCENARIO_NAMES.indexOf(scenario);
  const sign = at >= 0 ? row?.pages[at] : PRESET_ROWS[combination]?.[SCENARIOS.indexOf(scenario)];
  return KINDS[sign ?? ''] ?? 'unknown';
}
