/**
 * Rows of memcgs that have gone offline, until they can be somebody else's. It belongs to the main thread, as the tree does.
 *
 *   1. a store looks its memcg up   2. the row goes offline, empty   3. another memcg gets the row   4. the store charges that
 * Whoever stores holds the pin of a slot from before the look until it has charged. So a row waits for the pins that are held at
 * some moment after it went offline, each of which is seen dropped at some time. From then on nothing comes to it.
 *
 *   1. a load or writeback takes what it needs of an entry   2. that is freed, the last one of the row   3. another memcg gets the
 *      row   4. what was loaded or written back is counted for that
 * They hold a pin as well. So a row waits until no entry is charged to it, and then once more for the pins of a moment.
 *
 * It goes through these in order. Looking for pins is a look at all slot records, some 100 us of a full-sized table: so all rows
 * that wait for pins at one moment wait for the same ones, as readers of RCU are waited for.
 *
 *   waiting -> grace -> named -> waiting -> grace -> above -> free
 *
 * The last wait is for rows below it, and ends with the last of them: so a chain of rows is free at once, from its lower end up.
 */
import { currentOf, type Memcgs } from './memcg.ts';
import type { SlotTable } from './slot_table.ts';

/** Rows that one call looks at whether they are named; they come in turn. Whoever makes rows lets no more than these gather. */
export const REAPED_PER_CALL = 64;

interface Dying {
  readonly m: number;
  /** How many times it has waited for pins. */
  graces: 0 | 1 | 2;
  /** Is told when the row is free. */
  readonly freed: () => void;
}

interface Pool {
  readonly memcgs: Memcgs;
  readonly slotTable: Pick<SlotTable, 'locked'>;
}

interface Tree {
  /** Whether a request of the main thread names the row. */
  isHeld(m: number): boolean;
  /** Rows in use directly below each. */
  readonly below: Int32Array;
  giveBack(m: number): void;
}

export class DyingRows {
  private readonly pool: Pool;
  private readonly tree: Tree;
  private waiting: Dying[] = [];
  private grace: { pins: number[]; readonly rows: readonly Dying[] } | null = null;
  private readonly named: Dying[] = [];
  /** By row: those that wait for nothing but rows below them. */
  private readonly above = new Map<number, Dying>();
  /** Of the named: who is looked at next. */
  private turn = 0;

  constructor(pool: Pool, tree: Tree) {
    this.pool = pool;
    this.tree = tree;
  }

  /** Rows come in the order in which they go offline: what is below comes first. */
  add(m: number, freed: () => void = () => undefined): void {
    this.waiting.push({ m, graces: 0, freed });
  }

  get count(): number {
    return this.waiting.length + (this.grace?.rows.length ?? 0) + this.named.length + this.above.size;
  }

  /** Rows that wait for pins that nobody has looked for yet. */
  get gathered(): number {
    return this.waiting.length;
  }

  reap(): void {
    this.look();
    // Where nothing is pinned, a row is free after two.
    for (let graces = 0; graces < 2 && this.pass(); graces++);
    this.look();
  }

  /** Looks at some of those that were named. */
  private look(): void {
    const { named } = this;
    for (let looks = Math.min(REAPED_PER_CALL, named.length); looks > 0; looks--) {
      if (this.turn >= named.length) this.turn = 0;
      const one = named[this.turn];
      if (this.isNamed(one)) {
        this.turn++;
        continue;
      }
      // There may be as many as there are rows, so others are not moved up.
      const last = named.pop();
      if (last !== undefined && last !== one) named[this.turn] = last;
      this.goOn(one);
    }
  }

  /** False while there is somebody to wait for, or nothing that waits. */
  private pass(): boolean {
    if (this.grace === null) {
      if (this.waiting.length === 0) return false;
      this.grace = { pins: this.pinsHeld(), rows: this.waiting };
      this.waiting = [];
    }
    const { locked } = this.pool.slotTable;
    const { grace } = this;
    grace.pins = grace.pins.filter((r) => locked[r] !== 0);
    if (grace.pins.length > 0) return false;
    this.grace = null;
    for (const one of grace.rows) {
      one.graces++;
      if (this.isNamed(one)) this.named.push(one);
      else this.goOn(one);
    }
    return true;
  }

  private goOn(one: Dying): void {
    if (one.graces < 2) {
      this.waiting.push(one);
      return;
    }
    const { below } = this.tree;
    const { parent } = this.pool.memcgs;
    this.above.set(one.m, one);
    for (let next: Dying | undefined = one; next !== undefined && below[next.m] === 0; ) {
      const above: number = parent[next.m];
      this.above.delete(next.m);
      this.tree.giveBack(next.m);
      next.freed();
      next = this.above.get(above);
    }
  }

  /** Where nothing is charged to a row, nothing is to those below it, which wait for themselves. */
  private isNamed({ m, graces }: Dying): boolean {
    const { memcgs } = this.pool;
    if (graces === 2) return false;
    return this.tree.isHeld(m) || memcgs.reserved[m] !== 0 || currentOf(memcgs, m) !== 0;
  }

  private pinsHeld(): number[] {
    const { locked } = this.pool.slotTable;
    const pins: number[] = [];
    for (let r = 1; r < locked.length; r++) if (locked[r] !== 0) pins.push(r);
    return pins;
  }
}
