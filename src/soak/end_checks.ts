/** What is asked when nothing runs any more: whether the server leaked, and whether the image is what a client would have read. */
import { closeSync, openSync, readSync } from 'node:fs';
import { errorText } from '../os/exit_error.ts';
import { type Control, rowsOf } from './control.ts';
import type { Load } from './load.ts';
import type { Operations } from './operations.ts';
import { PAGE } from './page.ts';
import type { Leaks } from './verdict.ts';

const SLOTS_AT_ONCE = 256;
const READ_BACK_MS = 600_000;

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

/** A slot that could not be read in the end, and when it was changed last. */
export interface Unreadable {
  readonly slot: number;
  readonly changedMs: number;
}

interface ReadBack {
  readonly unreadable: readonly Unreadable[];
  /** Of those, the ones that did not take a new page. */
  readonly notMended: readonly number[];
  readonly hang: string | null;
}

/** Reads everything. What can't be read is written anew, and then has to be read. */
export async function readAll(load: Load): Promise<ReadBack> {
  const limit = AbortSignal.timeout(READ_BACK_MS);
  const slots = await load.readBack(limit);
  const unreadable = slots.map((slot) => ({ slot, changedMs: load.ledger.changedMs[slot] }));
  const notMended: number[] = [];
  for (const slot of slots) if (!(await load.mend(slot))) notMended.push(slot);
  const hang = limit.aborted ? `not everything was read back within ${READ_BACK_MS / 1000} s` : null;
  return { unreadable, notMended, hang };
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
