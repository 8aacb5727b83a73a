/** What a thread counts of its waits for other threads. */
import { declareCounters } from './counters.ts';

export const WAIT_COUNTERS = declareCounters(0, {
  lock_waits: 'locks that somebody else held when they were wanted',
  lock_wait_ms: 'milliseconds of waiting for them',
  spins: 'looks at a word that had not changed yet, before sleeping on it',
  retries: 'waits for another thread to move on that are not for a lock',
});
/** Column of each. */
export const WAITS = WAIT_COUNTERS.columns;
