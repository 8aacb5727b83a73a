// How much memory this process may count on: what "20%" in the config is a share of.
import { totalmem } from 'node:os';

/** The smaller of the machine's RAM and the limit of the cgroup that the process runs in, in bytes. */
export function usableMemory(): number {
  // Node answers 0 where it finds no limit, and more than the RAM where the cgroup sets none.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(totalmem(), limit) : totalmem();
}
