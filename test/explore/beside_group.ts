/**
 * Scenarios beside the matrix, explored and held against what is expected of them under the usual choice of each entry
 * protocol: clean, but for cas-2013, whose store retries with the tree locked while the writeback that it waits for needs
 * that lock (the reference's duplicate store). It meets itself wherever a slot is overwritten while its page leaves.
 */
import type { Test } from 'tap';
import type { Scenario } from '#src/explore/scenarios/scenario.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { broken, USUAL } from '#src/protocols/combinations.js';
import type { Combination } from '#src/protocols/index.js';
import { DEFAULT_COMBINATION } from '#src/protocols/presets.js';
import { exploreCell, kindOf, withEngine } from './cells.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const SCHEDULES_MAX = 1_000_000;

const DEADLOCKS: Readonly<Record<string, readonly string[]>> = {
  'cas-2013': [
    'flush-parked',
    'drain',
    'drain-errors',
    'sync-error',
    'flush-again',
    'part',
    'slots',
    'no-record',
    'exports-swapoff',
    'demand-store',
    'demand-offline-store',
    'dead-drop-writeback',
    'sums-writeback',
    'sums-lie',
    'scrub-writeback',
  ],
};

/** Both are explored in a plain run: what is served by default with two preemptions as everywhere, the other one with one. */
export const SAFE = (one: Combination): boolean => broken(one).length === 0;
/** The rule of the plain run for what no choice of protocols changes: what is served by default, and what is found elsewhere. */
export const SERVED = ({ entry }: Combination): boolean => entry === DEFAULT_COMBINATION.entry;

/** `scenarios`: all with as many exports. */
export async function checkBeside(
  t: Test,
  scenarios: readonly Scenario[],
  plain: (combination: Combination) => boolean,
): Promise<void> {
  await withEngine(async (engine) => {
    for (const { name } of scenarios) {
      for (const combination of Object.values(USUAL)) {
        const expected = DEADLOCKS[combination.entry]?.includes(name) === true ? 'deadlock' : 'clean';
        if (!LONG && !plain(combination) && expected === 'clean') continue;
        const text = formatCombination(combination);
        const bound = LONG || SERVED(combination) || expected !== 'clean' ? 2 : 1;
        const { failure, complete, schedules } = await exploreCell(engine, name, text, {
          bound,
          schedulesMax: SCHEDULES_MAX,
          first: true,
        });
        t.equal(kindOf(failure), expected, `${name} under ${text}: ${failure?.finding?.text}`);
        t.ok(complete, `every schedule with at most ${bound} preemptions, or a finding: ${schedules}`);
      }
    }
  }, scenarios[0].exports);
}
