// The verdict matrix: what a FLUSH has answered for, and what a failed write may leave. flush-writeback has three actors and
// takes minutes for all combinations: a plain run explores it under the usual one of the entry protocol that is served.
import t from 'tap';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { USUAL } from '#src/protocols/combinations.js';
import { DEFAULT_COMBINATION } from '#src/protocols/presets.js';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['flush-twice', 'rejected-torn']);
const SERVED = formatCombination(USUAL[DEFAULT_COMBINATION.entry]);

await checkGroup(t, ['flush-writeback'], (one) => (formatCombination(one) === SERVED ? 2 : 0));
