// The verdict matrix: trims against each other and against requests that are sent again.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['fast-path', 'fast-path-split', 'slot-reuse', 'resend-write', 'late-trim']);
