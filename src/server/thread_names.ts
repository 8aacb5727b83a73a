/** Reports of shm/sync.ts name threads by number; operators know them by what they do. */
import { THREAD_LANE0, THREAD_MAIN, THREAD_SHRINKER } from '../pool/limits.ts';

/** Lock words hold a thread's number plus one, because 0 is free. */
export function nameThreads(report: string): string {
  return report.replace(/\bthread (\d+)/g, (text, id: string) => `${text} (${roleOf(Number(id) - 1)})`);
}

function roleOf(thread: number): string {
  if (thread === THREAD_MAIN) return 'main';
  return thread === THREAD_SHRINKER ? 'shrinker' : `lane ${thread - THREAD_LANE0}`;
}
