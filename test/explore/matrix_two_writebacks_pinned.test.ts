// The verdict matrix: two shrinkers and a trim, under the protocol that pins first.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['two-writebacks'], { entries: ['pin-validate'] });
