/**
 * Reclaim by pages of the allocator (protocol.lru: allocator), with what is expected of it: the races that lived there in
 * zbud and z3fold are found, each by the line that had it, and with it mended nothing is. Those of the entry protocol are the
 * same as with lists of entries, but for the double unlink: a page that is claimed keeps a second reclaimer away.
 *
 * A plain run has both faults of z3fold, the repaired protocol but for the dear scenarios and with one preemption, and of the
 * presets what the reference knows of them; the rest is for --long.
 */
import t from 'tap';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { misfit } from '#src/explore/search/misfit.js';
import type { Combination } from '#src/protocols/index.js';
import { PRESETS } from '#src/protocols/presets.js';
import { SCENARIOS } from '#src/scripts/pages/expected_matrix.js';
import {
  expectedOfPages,
  NO_RACE,
  PAGE_ROWS,
  PAGE_SCENARIO_NAMES,
  PRESET_ROWS,
} from '#src/scripts/pages/expected_pages.js';
import { exploreCell, kindOf, withEngine } from './cells.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
t.setTimeout(LONG ? 3_600_000 : 300_000);

/** Ten thousand schedules and more. */
const DEAR = ['two-reclaims', 'z3fold-free', 'z3fold-move', 'reclaim-in-store'];
const TEXTS: Readonly<Record<string, RegExp>> = {
  deadlock: /^the pool's lock of z3fold is taken twice$/,
  'use after free': /^the label of an object that was freed is read behind the end of its page$/,
};

interface Expected {
  readonly scenario: string;
  readonly combination: string;
  readonly plain: boolean;
}

const { combination: fixed } = PAGE_ROWS[3];

const OF_PAGES: readonly Expected[] = PAGE_ROWS.flatMap(({ combination }) =>
  PAGE_SCENARIO_NAMES.map((scenario) => {
    const name = formatCombination(combination);
    const clean = expectedOfPages(name, scenario) === 'clean';
    const { earlyReference, placeByChunks } = combination;
    const ofSwitch = earlyReference === true || placeByChunks === true;
    const plain = clean ? combination === fixed : ofSwitch;
    return { scenario, combination: name, plain: plain && (!DEAR.includes(scenario) || ofSwitch) };
  }),
);

/** The races that the reference has of these kernels, in the scenarios of the matrix. */
const PLAIN: Readonly<Record<string, readonly string[]>> = {
  'v3.12': ['leak', 'stale-data'],
  'v3.13': ['leak', 'stale-data'],
  'v6.4': ['stale-data', 'recycled-slot', 'swapoff'],
};
const OF_PRESETS: readonly Expected[] = (['v3.12', 'v3.13', 'v6.4'] as const).flatMap((preset) =>
  SCENARIOS.filter((scenario) => misfit(scenario, PRESETS[preset]) === null).map((scenario) => {
    const combination = formatCombination(PRESETS[preset]);
    return { scenario, combination, plain: PLAIN[preset].includes(scenario) };
  }),
);

t.test('each verdict has its place', async (t) => {
  for (const { pages } of PAGE_ROWS) t.equal(pages.length, PAGE_SCENARIO_NAMES.length);
  for (const [name, row] of Object.entries(PRESET_ROWS)) {
    t.equal(row.length, SCENARIOS.length);
    const preset = Object.values<Combination>(PRESETS).find((one) => formatCombination(one) === name);
    const lists = SCENARIOS.filter((_, i) => row[i] === NO_RACE);
    t.same(
      lists,
      SCENARIOS.filter((scenario) => preset !== undefined && misfit(scenario, preset)?.includes('lists of memcgs')),
    );
  }
});

await withEngine(async (engine) => {
  for (const { scenario, combination, plain } of [...OF_PAGES, ...OF_PRESETS]) {
    if (!LONG && !plain) continue;
    const expected = expectedOfPages(combination, scenario);
    const bound = LONG || expected !== 'clean' ? 2 : 1;
    const search = { bound, first: true, schedulesMax: 1e6 };
    const { failure, complete } = await exploreCell(engine, scenario, combination, search);
    t.equal(kindOf(failure), expected, `${scenario} under ${combination}: ${failure?.finding?.text}`);
    if (failure !== null && /earlyReference|placeByChunks/.test(combination))
      t.match(failure.finding?.text, TEXTS[expected]);
    t.ok(complete, `every schedule with at most ${bound} preemptions, or a finding`);
  }
});
