/** Counts of entries as the kernels had them, for the entry protocols that have counts. */
import { checkLive } from '../pool/entries.ts';
import { heldTree } from '../pool/tree.ts';
import type { ProtocolPool } from './protocol.ts';

/** Changes a count; the tree lock is held, so a plain read and a plain write do. */
export function countUnderLock({ entries, trees }: ProtocolPool, e: number, by: number): number {
  checkLive(entries, e);
  heldTree(trees, entries.volume[e], entries.slot[e]);
  entries.state[e] += by;
  return entries.state[e];
}
