// The verdict matrix: reclaim that a request waits for.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['fault-recursion', 'fault-recursion-putback', 'fault-recursion-worker']);
