// The verdict matrix: what a FLUSH has answered for, and what a failed write may leave.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['flush-twice', 'flush-writeback', 'rejected-torn']);
