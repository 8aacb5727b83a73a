/**
 * Keeps an explorer to one processor. Exactly one of its threads moves at a time, and a baton that stays on one processor
 * is handed over twice as fast. Threads that are started meanwhile stay there as well.
 */
import { processors, runOn } from '../os/syscalls.ts';

/** `which` of the processors there are, counted from 0. Returns what lets the calling thread go again. */
export function stayOn(which: number): () => void {
  const before = processors();
  if (before.length < 2) return () => undefined;
  // Where the kernel refuses, an explorer is slower and otherwise the same.
  runOn([before[which % before.length]]);
  return () => void runOn(before);
}
