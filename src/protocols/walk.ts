/**
 * What a thread's walk of an LRU list is at: plain numbers, made once per thread, so that no page costs an allocation.
 * Other threads never see it.
 */
import { NONE } from '../pool/entries.ts';
import { EXPORTS_MAX } from '../pool/limits.ts';

export interface Walk {
  /** The victim that was taken last: its slot, copied under the LRU lock, and its entry. */
  x: number;
  slot: number;
  e: number;
  /** Its tree, and which life of that; an entry protocol that comes back to the tree without a pin keeps them. */
  tree: number;
  life: number;
  /** The victim's neighbour on the list, as it was under the LRU lock. */
  neighbour: number;
  /** With lruSkipAfterUnlock: the list, and the entry where the walk goes on after a busy victim. */
  list: number;
  next: number;
  /** By export: 1 from the victim on that could have no buffer. The walk passes by the pages of that export. */
  readonly full: Uint8Array;
}

export function newWalk(): Walk {
  const victim = { x: 0, slot: 0, e: NONE, tree: 0, life: 0, neighbour: NONE };
  return { ...victim, list: 0, next: NONE, full: new Uint8Array(EXPORTS_MAX) };
}
