/**
 * What the main thread asks of the shrinker's for a client that waits for it: memory.reclaim, and writeback of what
 * /block/<export>/writeback names. Each ends with its client, and after RECLAIM_DEADLINE_MS at the latest.
 */
import { RECLAIM_DEADLINE_MS, RECLAIMS_MAX } from '../control/limits.ts';
import type { FromShrinker, ToShrinker } from './messages.ts';

type AskMessage = Extract<ToShrinker, { type: 'reclaim' | 'writeBack' | 'endAsked' }>;
/** What to ask, before it has a number. */
type Asked = AskMessage extends infer M ? (M extends { ms: number } ? Omit<M, 'id' | 'ms'> : never) : never;
type Answer = Extract<FromShrinker, { type: 'reclaimed' | 'wroteBack' }>;

export class ShrinkerAsks {
  private readonly send: (message: AskMessage) => void;
  /** By number: what the shrinker has. RECLAIMS_MAX at most, because each keeps a connection of the control socket. */
  private readonly running = new Map<number, (answer: Answer) => void>();
  private last = 0;

  /** `send`: to the shrinker's thread, whose answers have to come to answered(). */
  constructor(send: (message: AskMessage) => void) {
    this.send = send;
  }

  /** Null: it was not begun, because there are too many, or nobody waits for it any more. */
  ask(asked: Asked, gone: AbortSignal): Promise<Answer | null> {
    // One whose client has just gone may be here until the shrinker has heard of it.
    if (this.running.size >= RECLAIMS_MAX || gone.aborted) return Promise.resolve(null);
    const id = ++this.last;
    return new Promise((resolve) => {
      const end = (): void => this.send({ type: 'endAsked', id });
      this.running.set(id, (answer) => {
        gone.removeEventListener('abort', end);
        resolve(answer);
      });
      gone.addEventListener('abort', end, { once: true });
      this.send({ ...asked, id, ms: RECLAIM_DEADLINE_MS });
    });
  }

  answered(answer: Answer): void {
    const done = this.running.get(answer.id);
    this.running.delete(answer.id);
    done?.(answer);
  }
}
