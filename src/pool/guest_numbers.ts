/**
 * The numbers of one guest's cgroups (owners.ts). One is taken for each cgroup that is named; when that is gone it stands for
 * whom its slots belong to then, until no slot has it any more. So does what is stored for the slot next; what is stored already
 * goes there with the memcg, if that goes offline, or is fetched slot by slot, if that stays (takeLeft).
 */
import { heirOf, type Memcgs } from './memcg.ts';
import type { MemcgTree } from './memcg_tree.ts';
import { CGROUPS_MAX, isNamed, NOBODY, type Owners, rowOfNumber, setRow } from './owners.ts';

/** A cgroup that there is, above those whose numbers it has, and with a memcg that stays as long as it. */
interface Holder {
  readonly row: number;
  /** Each stands for that memcg, or for one below it that stays in any case. */
  readonly numbers: Set<number>;
}

export class GuestNumbers {
  private readonly memcgs: Memcgs;
  private readonly owners: Owners;
  private readonly x: number;
  /** Of cgroups that are gone. */
  private readonly ended = new Map<number, Holder>();
  private readonly free: number[] = [];
  private highest = 0;
  /** Numbers whose pages are to be fetched, with the lowest memcg that has some. */
  private left = new Map<number, number>();

  /** Of export `x`. */
  constructor(tree: MemcgTree, x: number) {
    this.memcgs = tree.table;
    this.owners = tree.table.owners;
    this.x = x;
    tree.watch({ vacate: (m) => this.vacate(m) });
  }

  /** NOBODY where all are in use. */
  take(): number {
    const n = this.free.pop();
    if (n !== undefined) return n;
    return this.highest < CGROUPS_MAX ? ++this.highest : NOBODY;
  }

  /** The cgroup of `n` is gone; whatever `n` stands for, `holder` has it. */
  end(n: number, holder: Holder): void {
    this.ended.get(n)?.numbers.delete(n);
    holder.numbers.add(n);
    this.ended.set(n, holder);
  }

  /**
   * Numbers of cgroups that are gone and that no slot has are free. Nothing that was said may be under way. Answers what it took, in
   * units of Cgroups.work.
   */
  reap(): number {
    const { owners, x } = this;
    const work = this.ended.size >>> 4;
    for (const [n, holder] of this.ended) {
      if (isNamed(owners, x, n)) continue;
      setRow(owners, x, n, rowOfNumber(owners, x, NOBODY));
      holder.numbers.delete(n);
      this.ended.delete(n);
      this.left.delete(n);
      this.free.push(n);
    }
    return work;
  }

  /** Since the last call: numbers that stand for another memcg, while that which they stood for, and which is said with them, stays. */
  takeLeft(): ReadonlyMap<number, number> {
    const { left } = this;
    this.left = new Map();
    return left;
  }

  /** Numbers of cgroups that are gone stand for `heir`, which `holder` is or is above, and not for `row`, though that stays. */
  leave(row: number, heir: number, holder: Holder): void {
    const numbers = this.endedOf(row);
    for (const n of numbers) this.end(n, holder);
    endCgroup(this.owners, this.x, numbers, row, heir, () => this.noteLeft(numbers, row, heir));
  }

  /** `numbers` stand for `heir` instead of `row`. Pages are there as well if nothing stays between the two. */
  noteLeft(numbers: Iterable<number>, row: number, heir: number): void {
    const has = heirOf(this.memcgs, row);
    if (has === heir) return;
    for (const n of numbers) if (!this.left.has(n)) this.left.set(n, has);
  }

  /** Numbers of cgroups that are gone and that stand for `row`. One look at all: some 10 us. */
  private endedOf(row: number): number[] {
    const numbers: number[] = [];
    for (let n = 1; n <= this.highest; n++) {
      if (rowOfNumber(this.owners, this.x, n) === row && this.ended.has(n)) numbers.push(n);
    }
    return numbers;
  }

  /** Somebody removes memcg `m`: slots of cgroups that are gone are no reason to be there. */
  private vacate(m: number): void {
    for (const n of this.endedOf(m)) {
      const holder = this.ended.get(n);
      if (holder !== undefined && holder.row !== m) setRow(this.owners, this.x, n, holder.row);
    }
  }
}

/**
 * `numbers` that stand for the memcg of a cgroup that is gone stand for `above`, and then `leave` may take it offline. The
 * numbers first, because the row waits for pins of some moment after that (dying_rows.ts):
 *   1. the row waits for pins   2. a store pins a slot, and finds the row by its number   3. the row is somebody else's
 *   4. the store charges it
 */
export function endCgroup(
  owners: Owners,
  x: number,
  numbers: Iterable<number>,
  row: number,
  above: number,
  leave: () => void,
): void {
  for (const n of numbers) if (rowOfNumber(owners, x, n) === row) setRow(owners, x, n, above);
  leave();
}
