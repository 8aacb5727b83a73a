// The verdict matrix: requests beside swapoff.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['swapoff-write', 'swapoff-header', 'swapoff-trim']);
