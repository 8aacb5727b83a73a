// The verdict matrix: requests against one shrinker.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, [
  'leak',
  'stale-data',
  'recycled-slot',
  'duplicate-store',
  'load',
  'rejected-store',
  'lru-skip',
  'busy-head',
]);
