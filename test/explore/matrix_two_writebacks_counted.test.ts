// The verdict matrix: two shrinkers and a trim, under the protocols that count references or hold positions.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['two-writebacks'], { entries: ['refcount-2013', 'cas-2013'] });
