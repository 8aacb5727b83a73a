/** What is asked when nothing runs any more: whether the server leaked, and whether the image is what a client would have read. */
import { closeSync, openSync, readSync } from 'node:fs';
import { errorText } from '../os/exit_error.ts';
import { type Control, rowsOf } from './control.ts';
import type { Operations } from './operations.ts';
import { PAGE } from './page.ts';
import type { Leaks } from './verdict.ts';

const SLOTS_AT_ONCE = 256;

export async function leaksOf(control: Control | null): Promise<Leaks> {
  if (control === null)
    return { leaked: null, value: 'neutral', text: 'not judged: no control socket to ask (--control)' };
  try {
    const answer = await control.check();
    const problems = Array.isArray(answer.problems) ? answer.problems.map(String) : [];
    if (answer.quiescent !== true) {
      return {
        leaked: null,
        value: 'unknown',
        text: `no verdict: ${JSON.stringify(answer.busy ?? 'pages came or went')}`,
      };
    }
    if (problems.length === 0 && answer.ok === true) {
      return { leaked: 0, value: 'true', text: `all sums agree; ${rowsOf(answer, 'memcgs').length} memcgs` };
    }
    return { leaked: Math.max(1, problems.length), value: 'false', text: problems.join('; ') };
  } catch (error) {
    return { leaked: null, value: 'unknown', text: `could not be asked: ${errorText(error)}` };
  }
}

/** After a clean stop the image is byte for byte what a client would have read: holds each slot of it against the model. */
export function verifyImage(path: string, slots: number, operations: Operations): void {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(SLOTS_AT_ONCE * PAGE);
    for (let slot = 0; slot < slots; slot += SLOTS_AT_ONCE) {
      const count = Math.min(SLOTS_AT_ONCE, slots - slot);
      bytes.fill(0);
      readSync(fd, bytes, 0, count * PAGE, slot * PAGE);
      operations.verify({ slot, count }, bytes.subarray(0, count * PAGE));
    }
  } finally {
    closeSync(fd);
  }
}
