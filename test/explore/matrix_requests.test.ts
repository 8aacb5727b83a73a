// The verdict matrix: other requests against one shrinker.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['duplicate-store', 'load', 'rejected-store', 'lru-skip', 'second-chance', 'busy-head']);
