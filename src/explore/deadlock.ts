/** Why nobody can move, when no actor is enabled and not all have finished: who waits for what, and who holds it. */
import { THREAD_LANE0, THREAD_SHRINKER } from '../pool/limits.ts';
import { B, type Board, HELD_MAX, STATE } from './run_state.ts';
import type { Words } from './world/word_names.ts';

const SOMEBODY = 'somebody';

/** `@n` stands for actor n. Null at the end of a run: all have finished. The image's thread may wait for work. */
export function deadlockText(board: Board, words: Words): string | null {
  const { ctl } = board;
  const waits: string[] = [];
  for (let i = 0; i < ctl[B.ACTORS]; i++) {
    if (ctl[B.STATE + i] === STATE.DONE) continue;
    if (i === ctl[B.DAEMON] && ctl[B.WAIT_ARRAY + i] === ctl[B.MAILBOX]) continue;
    const name = words.name(ctl[B.WAIT_ARRAY + i], ctl[B.WAIT_INDEX + i]);
    waits.push(`@${i} waits for ${name}${heldBy(board, words, i)}`);
  }
  if (waits.length === 0) return null;
  const pins = words.pins().map(({ slot, thread }) => ({ slot, holder: actorOf(board, thread) }));
  // Records that a scenario has taken away are none of it.
  const nobodys = pins.filter(({ holder }) => holder === SOMEBODY).length > 1;
  for (const { slot, holder } of pins) {
    if (holder !== SOMEBODY || !nobodys) waits.push(`${holder} holds the pin of slot ${slot}`);
  }
  return waits.join('; ');
}

/** Thread numbers are those of service: lanes from THREAD_LANE0 on, the image's thread is the shrinker's. */
function actorOf({ ctl }: Board, thread: number): string {
  if (thread === THREAD_SHRINKER) return `@${ctl[B.DAEMON]}`;
  return thread >= THREAD_LANE0 && thread < THREAD_LANE0 + ctl[B.DAEMON] ? `@${thread - THREAD_LANE0}` : SOMEBODY;
}

function heldBy({ ctl, held }: Board, words: Words, i: number): string {
  const names = Array.from({ length: ctl[B.HELD + i] }, (_, k) => {
    const at = (i * HELD_MAX + k) * 2;
    return words.name(held[at], held[at + 1]);
  });
  return names.length === 0 ? '' : ` and holds ${names.join(', ')}`;
}
