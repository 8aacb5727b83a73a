/**
 * The rows of the table of memcgs that agents have had made (cgroups.ts). There is one of it, beside the tree, because two
 * exports may share a memcg, or have one below the other's, and then a cgroup of each stands for one row. So a row has users:
 *
 *   1. the agent of one swap device names /x, and its row comes into being   2. that of another names it: the same row
 *   3. the first says that it is gone: the row stays   4. so does the second: now it goes offline
 * Before it stops using a row, an export lets none of its numbers stand for it. So nobody's do when the last user has gone.
 *
 * A row that is offline stays in use until no entry names it, which is up to a guest: it is its own pages that do. So rows are
 * shared out (shares.ts), offline ones among them: of those that are free when the server starts, without OPERATOR_ROWS, half is
 * divided evenly among the exports with agents, and whoever comes first has the rest. A row counts for the export that had it
 * made until it can be somebody else's.
 */
import { MemcgError } from './memcg_path.ts';
import type { MemcgTree } from './memcg_tree.ts';
import { createOwnShares, giveShare, type Shares, takeShare } from './shares.ts';

/** Rows that are nobody's but who makes memcgs by hand; half of those that are free, if that is less. */
const OPERATOR_ROWS = 4096;

interface Made {
  readonly x: number;
  users: number;
}

export class GuestRows {
  private readonly tree: MemcgTree;
  private readonly agents: readonly number[];
  private readonly shares: Shares;
  private readonly made = new Map<number, Made>();

  /** `agents`: exports that have one. */
  constructor(tree: MemcgTree, agents: readonly number[]) {
    this.tree = tree;
    this.agents = agents;
    const free = tree.freeRows;
    const capacity = free - Math.min(OPERATOR_ROWS, Math.ceil(free / 2));
    this.shares = createOwnShares(capacity, Math.max(1, agents.length));
    tree.watch({ keep: (m) => this.keep(m) });
  }

  /** The row of a path as find() has it, below `parent`, for one more cgroup of export `x`. It is made where there is none; null where no row is left. */
  use(x: number, parent: number, path: string): number | null {
    const had = this.tree.find(path);
    if (had !== undefined) {
      const made = this.made.get(had);
      if (made !== undefined) made.users++;
      return had;
    }
    if (!takeShare(this.shares, this.placeOf(x), 0)) return null;
    const row = orNull(() => this.tree.createBelow(parent, path));
    if (row === null) this.giveBack(x);
    else this.made.set(row, { x, users: 1 });
    return row;
  }

  /** Whether it has users. Others have settings that somebody made, and stay. */
  isMade(row: number): boolean {
    return this.made.has(row);
  }

  /**
   * A cgroup does not stand for it any more, nor does a number of its export. With the last one the row goes offline, but for one
   * that somebody has made memcgs below: that is theirs from now on. Whether it has gone offline.
   */
  leave(row: number): boolean {
    const made = this.made.get(row);
    if (made === undefined || --made.users > 0) return false;
    this.made.delete(row);
    const ends = this.tree.isLeaf(row);
    if (ends) this.tree.release(row, () => this.giveBack(made.x));
    else this.giveBack(made.x);
    return ends;
  }

  /** Somebody wants it to stay: it is theirs from now on. */
  private keep(row: number): void {
    const made = this.made.get(row);
    if (made === undefined) return;
    this.made.delete(row);
    this.giveBack(made.x);
  }

  private giveBack(x: number): void {
    giveShare(this.shares, this.placeOf(x));
  }

  private placeOf(x: number): number {
    return this.agents.indexOf(x);
  }
}

/** Null for what the tree refuses: no name, too deep, or no row left. */
export function orNull<T>(find: () => T): T | null {
  try {
    return find();
  } catch (error) {
    if (error instanceof MemcgError) return null;
    throw error;
  }
}
