// The verdict matrix: a store or a trim against one shrinker.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['leak', 'stale-data', 'recycled-slot']);
