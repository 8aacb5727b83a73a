// The verdict matrix: two shrinkers and a trim.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['two-writebacks']);
