// The verdict matrix: two shrinkers and a trim, under the protocol that isolates entries.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['two-writebacks'], { entries: ['refcount-lru-isolate'] });
