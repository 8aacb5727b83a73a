// The verdict matrix: an image that fails or reorders, and stores that end there.
import t from 'tap';
import { checkGroup } from './matrix_group.ts';

await checkGroup(t, ['no-node', 'image-error', 'image-order', 'rejected-store-error', 'resend-limit']);
