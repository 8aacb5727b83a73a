// The verdict matrix: what a FLUSH has answered for, and what a failed write may leave. flush-writeback has three actors and
// takes minutes for all combinations: in a plain run the canaries explore it under the default ones.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

const LONG = process.env.ZSWAPD_LONG === '1' ? ['flush-writeback'] : [];
await checkGroup(t, ['flush-twice', 'rejected-torn', ...LONG]);
