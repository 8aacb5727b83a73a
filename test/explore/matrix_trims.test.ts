// The verdict matrix: a trim beside a read or a write, of its slot or of one that changes the tree under it.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['fast-path-grow', 'fast-path-reuse', 'read-trim', 'write-trim']);
