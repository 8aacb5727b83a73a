/**
 * The tree of memcgs on the main thread of a server, and what there is to do about it: rows of those that are gone are given
 * back in time, and what memory.reclaim asks for is asked of the shrinker's thread.
 */
import { RECLAIM_DEADLINE_MS, RECLAIMS_MAX } from '../control/limits.ts';
import * as errno from '../os/errno.ts';
import type { Loop, Timer } from '../os/loop.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import { MemcgTree } from '../pool/memcg_tree.ts';
import type { Shared } from '../pool/shared.ts';
import type { FromShrinker, ToShrinker } from './messages.ts';

/** Whoever makes or lists memcgs looks for free rows as well; so a dying one is not named for long where nobody does. */
const REAP_MS = 250;

type ReclaimMessage = Extract<ToShrinker, { type: 'reclaim' | 'endReclaim' }>;

export class ServedMemcgs {
  readonly tree: MemcgTree;
  private readonly send: (message: ReclaimMessage) => void;
  private readonly reaping: Timer;
  /** By number: requests that the shrinker has. */
  private readonly running = new Map<number, (errno: number) => void>();
  private last = 0;

  /** `send`: to the shrinker's thread, whose answers have to come to answered(). */
  constructor(shared: Shared, loop: Loop, send: (message: ReclaimMessage) => void) {
    this.tree = new MemcgTree(shared, THREAD_MAIN);
    this.send = send;
    this.reaping = loop.every(REAP_MS, () => this.tree.reap());
  }

  close(): void {
    this.reaping.cancel();
  }

  /** As ReclaimBytes of the files has it; RECLAIM_DEADLINE_MS at most, and a client that goes away ends it. */
  readonly reclaim = (m: number, bytes: number, gone: AbortSignal): Promise<number> => {
    // One whose client has just gone may be here until the shrinker has heard of it.
    if (this.running.size >= RECLAIMS_MAX || gone.aborted) return Promise.resolve(errno.EAGAIN);
    const id = ++this.last;
    return new Promise((resolve) => {
      const end = (): void => this.send({ type: 'endReclaim', id });
      this.running.set(id, (result) => {
        gone.removeEventListener('abort', end);
        resolve(result);
      });
      gone.addEventListener('abort', end, { once: true });
      this.send({ type: 'reclaim', id, m, bytes, ms: RECLAIM_DEADLINE_MS });
    });
  };

  answered({ id, errno: result }: Extract<FromShrinker, { type: 'reclaimed' }>): void {
    const done = this.running.get(id);
    this.running.delete(id);
    done?.(result);
  }
}
