/**
 * Gathers the slots of an export whose content the image may lack: those stored, and those whose page is on its way there. For
 * a drain and for swapoff --keep, which have stopped all writes, so that nothing is stored behind the cursor any more. What
 * writeback takes away meanwhile is on its way, or on the image, and then the sync covers it.
 *
 * Tree by tree, so that slots come in order, each once. A turn is a piece of a tree, because an export may have a hundred million
 * pages, and others have orders for this thread.
 */
import type { ImageQueue } from '../image/image_queue.ts';
import { mergeSlots, SlotList } from '../pool/dirty.ts';
import { TREE_PAGES } from '../pool/limits.ts';
import { isEmpty, lockTree, treeOf, unlockTree } from '../pool/tree.ts';
import { entriesIn } from '../pool/tree_walk.ts';
import type { Zswap } from './zswap.ts';

/** Slots of a turn, with the lock of their tree: a millisecond where all are stored. A tree of nobody's costs one of them. */
const PIECE = 8192;
const found = new Uint32Array(PIECE);

export class HeldSlots {
  private readonly zswap: Zswap;
  private readonly queue: Pick<ImageQueue, 'x' | 'eachWriteback'>;
  private readonly done: (slots: Uint32Array) => void;
  private readonly held = new SlotList();
  private cursor = 0;

  /** `done` is called once, from a turn. */
  constructor(zswap: Zswap, queue: Pick<ImageQueue, 'x' | 'eachWriteback'>, done: (slots: Uint32Array) => void) {
    this.zswap = zswap;
    this.queue = queue;
    this.done = done;
  }

  /** True while there is more. */
  turn(): boolean {
    const { pages } = this.zswap.settings.exports[this.queue.x];
    // Of an export that is swapped off the trees are freed; who has some keeps them until we are done.
    if (!this.zswap.hasTrees(this.queue.x)) this.cursor = pages;
    for (let left = PIECE; left > 0 && this.cursor < pages; ) left -= this.piece(pages, left);
    if (this.cursor < pages) return true;
    this.done(this.withPages());
    return false;
  }

  /** Looks at up to `most` slots from the cursor on, in one tree; answers what of a turn that has cost. */
  private piece(pages: number, most: number): number {
    const { trees } = this.zswap;
    const { x } = this.queue;
    const first = this.cursor;
    const tree = treeOf(trees, x, first);
    const end = Math.min(pages, (Math.floor(first / TREE_PAGES) + 1) * TREE_PAGES);
    if (isEmpty(trees, tree)) {
      this.cursor = end;
      return 1;
    }
    this.cursor = Math.min(end, first + most);
    lockTree(trees, tree);
    const count = entriesIn(trees, tree, first, this.cursor, found);
    unlockTree(trees, tree);
    for (let i = 0; i < count; i++) this.held.push(found[i]);
    return this.cursor - first;
  }

  /** Pages on their way are as many as there are buffers. One whose slot was written again since stands on both sides. */
  private withPages(): Uint32Array {
    const pages = new Set<number>();
    this.queue.eachWriteback((slot) => pages.add(slot));
    return mergeSlots(this.held.slots(), Uint32Array.from(pages).sort());
  }
}
