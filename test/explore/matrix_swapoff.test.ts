// The verdict matrix: swapoff against one shrinker.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['swapoff', 'swapoff-late', 'swapon']);
