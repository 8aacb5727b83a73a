/** What each thread does first, the main thread as well: what is set for a thread as a whole is set here, and nowhere else. */
import { enterThread, setDelays } from '../shm/sync.ts';
import type { ThreadData } from './messages.ts';
import { nameThreads } from './thread_names.ts';

export function beginThread({ thread, settings }: Pick<ThreadData, 'thread' | 'settings'>): void {
  enterThread(thread + 1, (report) => {
    throw new Error(nameThreads(report));
  });
  setDelays(settings.delays);
}
