/** What each thread does first, the main thread as well: what is set for a thread as a whole is set here, and nowhere else. */
import { enterPool } from '../pool/enter_pool.ts';
import { onReserve } from '../shm/columns.ts';
import { setDelays } from '../shm/sync.ts';
import type { ThreadData } from './messages.ts';
import { leaveOut } from './process_care.ts';
import { nameThreads } from './thread_names.ts';

export function beginThread({ thread, shared, settings }: Pick<ThreadData, 'thread' | 'shared' | 'settings'>): void {
  enterPool(shared, thread, (report) => {
    throw new Error(nameThreads(report));
  });
  setDelays(settings.delays);
  onReserve(settings.dontDump ? leaveOut : null);
}
