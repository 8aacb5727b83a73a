// The synchronisation façade seen from outside: which operations a piece of code passes, and what another thread may do there.
import * as sync from '#src/shm/sync.js';

export interface Seen {
  readonly op: string;
  readonly words: Int32Array | null;
  readonly index: number;
}

/**
 * Runs `work` with a hook in place of real locks and answers what it passed. `before` runs before each operation takes effect,
 * as another thread would there; what it does itself is neither noted nor passed on.
 */
export function passing(work: () => void, before: (seen: Seen) => void = () => undefined): Seen[] {
  const all: Seen[] = [];
  const note = (op: string, words: Int32Array | null, index: number): void => {
    const seen = { op, words, index };
    all.push(seen);
    sync.setHook(null);
    before(seen);
    sync.setHook(hook);
  };
  const hook: sync.Hook = {
    point: note,
    lock(words, index) {
      note('lock', words, index);
      if (Atomics.compareExchange(words, index, 0, 1) !== 0) throw new Error(`waits for lock ${index}`);
    },
    tryLock(words, index) {
      note('tryLock', words, index);
      return Atomics.compareExchange(words, index, 0, 1) === 0;
    },
    unlock(words, index) {
      note('unlock', words, index);
      Atomics.store(words, index, 0);
    },
    retry(words, index) {
      note('retry', words, index);
    },
  };
  sync.setHook(hook);
  try {
    work();
  } finally {
    sync.setHook(null);
  }
  return all;
}

/** Runs `work` and answers which words it notified, and how many sleepers at most. */
export function notified(work: () => void): { words: unknown; index: number; count: number | undefined }[] {
  const calls: { words: unknown; index: number; count: number | undefined }[] = [];
  const real = Atomics.notify;
  Atomics.notify = ((words: Int32Array, index: number, count?: number) => {
    calls.push({ words, index, count });
    return real(words, index, count);
  }) as typeof Atomics.notify;
  try {
    work();
  } finally {
    Atomics.notify = real;
  }
  return calls;
}
