// The verdict matrix: swapoff where a slot stays in use, or where a FLUSH is at work.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['swapoff-slot-0', 'swapoff-keep', 'swapoff-flush', 'swapoff-read']);
