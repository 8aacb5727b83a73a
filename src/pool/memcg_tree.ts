/**
 * What the main thread does with the tree of memcgs: find, list, create, set, take offline, remove. There is one of it, because
 * rows are given out and taken back here, under no lock. The tables are in shared memory, so other threads see a change as soon
 * as it is made, in the order in which it is written here: a row is filled in before it is online.
 *
 * offline is rmdir: the pages of a cgroup that goes away become its parent's. It leaves the row to be reaped, when nobody can
 * name it any more (dying_rows.ts): no store that is under way, no entry, no row below it, and no request of the main thread's
 * own that holds it.
 */
import * as sync from '../shm/sync.ts';
import { exportOf, isOfCgroup, noteRanges, type SlotRange } from './attribution.ts';
import { DyingRows, REAPED_PER_CALL } from './dying_rows.ts';
import type { Entries } from './entries.ts';
import type { Lists } from './list_links.ts';
import * as lru from './lru.ts';
import {
  CELL_COLUMNS,
  dropHomes,
  MEMCG,
  type Memcgs,
  makeHome,
  onlineRows,
  pathOf,
  ROOT,
  setName,
  shareHomes,
  TABLE,
} from './memcg.ts';
import { canonicalPath, MemcgError, namesOf } from './memcg_path.ts';
import { setRow } from './owners.ts';
import type { SlotTable } from './slot_table.ts';

/** Of createShared, as it is. */
export interface MemcgPool {
  readonly memcgs: Memcgs;
  readonly lru: Lists;
  readonly entries: Entries;
  readonly slotTable: Pick<SlotTable, 'locked'>;
  readonly settings: { readonly exports: readonly { readonly name: string }[] };
}

/** Is told what somebody does by hand: a row is to stay, whatever becomes of cgroups; or it goes, if no cgroup is there. */
interface TreeWatcher {
  keep?(m: number): void;
  vacate?(m: number): void;
}

export class MemcgTree {
  private readonly pool: MemcgPool;
  private readonly t: Memcgs;
  private readonly lists: lru.Lru;
  /** By path, and the paths. */
  private readonly rows = new Map<string, number>();
  private readonly paths = new Map<number, string>();
  /** Rows in use directly below each, offline ones among them; and those of them that are online. */
  private readonly below: Int32Array;
  private readonly online: Int32Array;
  /** Rows before END that are free. */
  private free: number[] = [];
  private readonly dying: DyingRows;
  /** Rows that requests under way name, and how many of them do. */
  private readonly held = new Map<number, number>();
  /** One for each export with an agent, and one more. */
  private readonly watchers: TreeWatcher[] = [];

  /** `thread`: who changes lists here, the main thread's number. */
  constructor(pool: MemcgPool, thread: number) {
    this.pool = pool;
    this.t = pool.memcgs;
    this.lists = lru.openLru(pool.lru, pool.memcgs, thread);
    this.below = new Int32Array(this.t.rows);
    this.online = new Int32Array(this.t.rows);
    this.dying = new DyingRows(pool, {
      below: this.below,
      isHeld: (m) => this.held.has(m),
      giveBack: (m) => this.giveBack(m),
    });
    this.rows.set('/', ROOT);
    for (let m = ROOT + 1; m < this.t.control[TABLE.END]; m++) this.know(m);
  }

  private know(m: number): void {
    const { state, parent } = this.t;
    if (state[m] === MEMCG.FREE) this.free.push(m);
    else this.below[parent[m]]++;
    if (state[m] === MEMCG.OFFLINE) this.dying.add(m);
    if (state[m] !== MEMCG.ONLINE) return;
    this.online[parent[m]]++;
    this.note(m, pathOf(this.t, m));
  }

  private note(m: number, path: string): void {
    this.rows.set(path, m);
    this.paths.set(m, path);
  }

  /** The row of a path. ENOENT where there is none; EINVAL for what is no path. */
  lookup(path: string): number {
    const name = canonicalPath(path);
    const m = this.rows.get(name);
    if (m === undefined) throw new MemcgError('ENOENT', `no memcg ${JSON.stringify(name)}`);
    return m;
  }

  /** Rows that are online directly below `m`, in their order. One look at all rows: some 100 us for a full table. */
  children(m: number): number[] {
    const { parent } = this.t;
    return onlineRows(this.t).filter((row) => row !== ROOT && parent[row] === m);
  }

  /** mkdir: EEXIST, ENOENT without its parent, EAGAIN where it would be too deep, ENOSPC when all rows are in use. */
  create(path: string): number {
    const name = canonicalPath(path);
    if (this.rows.has(name)) throw new MemcgError('EEXIST', `memcg ${JSON.stringify(name)} exists`);
    return this.add(this.lookup(name.split('/').slice(0, -1).join('/')), name);
  }

  get table(): Memcgs {
    return this.t;
  }

  watch(watcher: TreeWatcher): void {
    this.watchers.push(watcher);
  }

  /** Somebody wants a row to stay that a cgroup of a guest has made, as if he had made it himself. */
  keep(m: number): void {
    for (const watcher of this.watchers) watcher.keep?.(m);
  }

  /** The row of a path that is written as canonicalPath has it, if there is one. */
  find(path: string): number | undefined {
    return this.rows.get(path);
  }

  /** mkdir of such a path, not too deep, that is not there, in row `parent`: ENOSPC when all rows are in use. */
  createBelow(parent: number, path: string): number {
    return this.add(parent, path);
  }

  /** The row of a path, which comes into being with all that is above it. */
  ensure(path: string): number {
    let m = ROOT;
    let name = '';
    for (const part of namesOf(path)) {
      name = name === '' ? part : `${name}/${part}`;
      m = this.rows.get(name) ?? this.add(m, name);
    }
    return m;
  }

  private add(parent: number, path: string): number {
    if (this.dying.gathered >= REAPED_PER_CALL || this.freeRows === 0) this.reap();
    const { t } = this;
    const m = this.free.pop() ?? t.control[TABLE.END];
    if (m === t.rows) throw new MemcgError('ENOSPC', `${t.rows} memcgs are in use, those that go offline among them`);
    t.parent[m] = parent;
    t.max[m] = Number.POSITIVE_INFINITY;
    t.keeps[m] = 0;
    setName(t, m, path.slice(path.lastIndexOf('/') + 1));
    this.setState(m, MEMCG.ONLINE);
    if (m === t.control[TABLE.END]) t.control[TABLE.END]++;
    this.below[parent]++;
    this.online[parent]++;
    this.note(m, path);
    return m;
  }

  /**
   * memory.zswap.max in bytes, Infinity for none. What is above a new limit stays: only stores meet it, and one that began
   * before the limit came does not. The root has no limit.
   */
  setMax(path: string, bytes: number): void {
    const m = this.lookup(path);
    if (m === ROOT) throw new MemcgError('ENOENT', 'the root has no memory.zswap.max');
    if (bytes !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(bytes) && bytes >= 0)) {
      throw new MemcgError('EINVAL', `memory.zswap.max: ${bytes}, allowed: bytes from 0, or max`);
    }
    this.t.max[m] = bytes;
  }

  /** memory.zswap.writeback, the row's own: it is in effect where no ancestor has it off. */
  setWriteback(path: string, on: boolean): void {
    this.t.keeps[this.lookup(path)] = on ? 0 : 1;
  }

  /** From now on the pages of export `x` are stored for another memcg; what is stored stays where it is. */
  attach(x: number, path: string): void {
    const m = this.lookup(path);
    makeHome(this.t, m, x);
    sync.store(this.t.ofExport, x, m);
  }

  /** Ranges of slots of export `x` have memcgs of their own, from the start on. */
  attachRanges(x: number, ranges: readonly SlotRange[], nameOfMemcg: (memcg: number) => string): void {
    noteRanges(this.t, x, ranges, (memcg) => {
      const m = this.lookup(nameOfMemcg(memcg));
      makeHome(this.t, m, x);
      return m;
    });
  }

  /** Slots of export `x` that have number `n` are row `m`'s (owners.ts). */
  attachNumber(x: number, n: number, m: number): void {
    makeHome(this.t, m, x);
    setRow(this.t.owners, x, n, m);
  }

  /**
   * rmdir, which takes a memcg offline: its pages are its parent's coldest from now on. As in the kernel it is EBUSY while
   * there are memcgs below it or somebody is in it, here exports, and pages are no reason.
   */
  offline(path: string): void {
    this.end(this.leaf(path));
  }

  /** Nothing is online below it. */
  isLeaf(m: number): boolean {
    return this.online[m] === 0;
  }

  /** The same for a leaf that no agent needs any more, and whose slots are its parent's already (guest_rows.ts). */
  release(m: number, freed?: () => void): void {
    this.end(m, freed);
  }

  /** Rows that nobody has had yet, or that are free again. */
  get freeRows(): number {
    return this.t.rows - this.t.control[TABLE.END] + this.free.length;
  }

  /** Until what it returns is called the row is given to nobody else, so that somebody may go on naming it. */
  hold(m: number): () => void {
    this.held.set(m, (this.held.get(m) ?? 0) + 1);
    return () => {
      const others = (this.held.get(m) ?? 0) - 1;
      if (others > 0) this.held.set(m, others);
      else this.held.delete(m);
    };
  }

  private leaf(path: string): number {
    const m = this.lookup(path);
    for (const watcher of this.watchers) watcher.vacate?.(m);
    const name = JSON.stringify(canonicalPath(path));
    if (m === ROOT) throw new MemcgError('EBUSY', 'the root stays');
    if (this.online[m] > 0) throw new MemcgError('EBUSY', `memcg ${name} has ${this.online[m]} memcgs`);
    const x = exportOf(this.t, m, this.pool.settings.exports.length);
    if (x < 0) return m;
    const what = isOfCgroup(this.t, x, m) ? 'is that of a cgroup of the guest of' : 'has';
    throw new MemcgError('EBUSY', `memcg ${name} ${what} export ${this.pool.settings.exports[x].name}`);
  }

  private end(m: number, freed?: () => void): void {
    const { t } = this;
    this.rows.delete(this.paths.get(m) ?? '');
    this.paths.delete(m);
    this.online[t.parent[m]]--;
    // Before the list moves: whoever walks the parent's list asks whose pages may be on it.
    shareHomes(t, m, t.parent[m]);
    lru.reparent(this.lists, this.pool.entries, m);
    dropHomes(t, m);
    this.dying.add(m, freed);
  }

  /** Frees rows that nobody can name any more; the main thread may call it whenever it likes. */
  reap(): void {
    this.dying.reap();
  }

  /** Rows that are offline and still named. */
  get offlineRows(): number {
    return this.dying.count;
  }

  private giveBack(m: number): void {
    const { t } = this;
    this.below[t.parent[m]]--;
    const cells = t.threads * CELL_COLUMNS;
    t.cells.fill(0, m * cells, (m + 1) * cells);
    this.setState(m, MEMCG.FREE);
    if (m === t.control[TABLE.END] - 1) this.lowerEnd();
    else this.free.push(m);
  }

  /** So that loops over the rows are as long as there are memcgs, and not as there once were. */
  private lowerEnd(): void {
    const { control, state } = this.t;
    const end = --control[TABLE.END];
    while (state[control[TABLE.END] - 1] === MEMCG.FREE) control[TABLE.END]--;
    if (control[TABLE.END] < end) this.free = this.free.filter((row) => row < control[TABLE.END]);
  }

  private setState(m: number, state: number): void {
    sync.lock(this.lists.lock, m);
    this.t.state[m] = state;
    sync.unlock(this.lists.lock, m);
  }
}
