/**
 * The cgroups of a guest, as its agent names them: each has a memcg below that of the export, and a number that its slots have
 * (owners.ts). It belongs to the main thread, as the tree of memcgs does.
 *
 *   named   a memcg of the same path comes into being, with all above it, and a number stands for it
 *   gone    its numbers stand for its parent, and then its memcg goes offline; so do those above it that nobody named
 *
 * A memcg that was there before, from the config or by hand, is used as it is, and stays: it has settings that somebody made.
 * So does one that somebody has made memcgs below. All that is kept is bounded: a guest may have CGROUPS_MAX cgroups, folders
 * above them among them, and numbers of those that are gone count until no slot has them any more.
 */
import { below, MemcgError, namesOf } from './memcg_path.ts';
import type { MemcgTree } from './memcg_tree.ts';
import { CGROUPS_MAX, isNamed, NOBODY, type Owners, rowOfNumber, setRow } from './owners.ts';

interface Cgroup {
  /** From the guest's root, without a leading slash; the root's is empty. */
  readonly path: string;
  readonly row: number;
  /** Null for the guest's root. */
  readonly above: Cgroup | null;
  /** We have made its memcg. */
  readonly made: boolean;
  /** What the agent calls it; null for a folder that it did not name, or that is gone. */
  id: bigint | null;
  /** The last one is its own while it has an id. */
  readonly numbers: Set<number>;
  /** Cgroups directly below. */
  below: number;
}

export class Cgroups {
  private readonly tree: MemcgTree;
  private readonly owners: Owners;
  private readonly x: number;
  private readonly base: string;
  private readonly byPath = new Map<string, Cgroup>();
  private readonly byId = new Map<bigint, { readonly cgroup: Cgroup; readonly n: number }>();
  /** Numbers of cgroups that are gone, with whom they stand for. */
  private readonly ended = new Map<number, Cgroup>();
  private readonly free: number[] = [];
  private highest = 0;

  /** Of export `x`, whose memcg is `base`. */
  constructor(tree: MemcgTree, owners: Owners, x: number, base: string) {
    this.tree = tree;
    this.owners = owners;
    this.x = x;
    this.base = base;
    const row = tree.lookup(base);
    this.byPath.set('', { path: '', row, above: null, made: false, id: null, numbers: new Set(), below: 0 });
  }

  /** Cgroups that the agent has named and that are not gone. */
  get count(): number {
    return this.byId.size;
  }

  /** The number of a cgroup, or undefined. */
  numberOf(id: bigint): number | undefined {
    return this.byId.get(id)?.n;
  }

  /** `id` is the cgroup at `path` from now on. False where it can have no memcg. */
  name(id: bigint, path: string): boolean {
    const known = this.byId.get(id);
    const names = split(path);
    if (names === null) {
      this.gone(id);
      return false;
    }
    const name = names.join('/');
    if (known?.cgroup.path === name) return true;
    if (known !== undefined) this.gone(id);
    const before = this.byPath.get(name)?.id ?? null;
    if (before !== null) this.gone(before);
    const cgroup = this.ensure(names);
    const n = cgroup === null ? NOBODY : this.takeNumber();
    if (cgroup === null || n === NOBODY) {
      if (cgroup !== null) this.prune(cgroup);
      return false;
    }
    cgroup.id = id;
    cgroup.numbers.add(n);
    this.byId.set(id, { cgroup, n });
    this.tree.attachNumber(this.x, n, cgroup.row);
    return true;
  }

  /** The cgroup was removed. Its slots are its parent's, if their guest has not freed them. */
  gone(id: bigint): void {
    const known = this.byId.get(id);
    if (known === undefined) return;
    const { cgroup, n } = known;
    this.byId.delete(id);
    cgroup.id = null;
    this.ended.set(n, cgroup);
    this.prune(cgroup);
  }

  /** Numbers of cgroups that are gone and that no slot has are free. Nothing that was said may be under way. */
  reap(): void {
    const { owners, x } = this;
    for (const [n, cgroup] of this.ended) {
      if (isNamed(owners, x, n)) continue;
      setRow(owners, x, n, rowOfNumber(owners, x, NOBODY));
      cgroup.numbers.delete(n);
      this.ended.delete(n);
      this.free.push(n);
    }
  }

  private takeNumber(): number {
    const n = this.free.pop();
    if (n !== undefined) return n;
    return this.highest < CGROUPS_MAX ? ++this.highest : NOBODY;
  }

  private ensure(names: readonly string[]): Cgroup | null {
    let cgroup = this.byPath.get('') ?? null;
    for (let depth = 1; depth <= names.length && cgroup !== null; depth++) {
      const path = names.slice(0, depth).join('/');
      const found = this.byPath.get(path);
      const next: Cgroup | null = found ?? this.make(path, cgroup);
      if (next === null) this.prune(cgroup);
      cgroup = next;
    }
    return cgroup;
  }

  private make(path: string, above: Cgroup): Cgroup | null {
    if (this.byPath.size > CGROUPS_MAX) return null;
    const had = this.rowOf(path, (whole) => this.tree.lookup(whole));
    const row = had ?? this.rowOf(path, (whole) => this.tree.create(whole));
    if (row === null) return null;
    const cgroup = { path, row, above, made: had === null, id: null, numbers: new Set<number>(), below: 0 };
    above.below++;
    this.byPath.set(path, cgroup);
    return cgroup;
  }

  /** Null for what the tree refuses: no such row, no name, too deep, or no row left. */
  private rowOf(path: string, find: (whole: string) => number): number | null {
    try {
      return find(below(this.base, path));
    } catch (error) {
      if (error instanceof MemcgError) return null;
      throw error;
    }
  }

  /** Forgets a cgroup that has no name and nothing below it, and those above it that have no more. */
  private prune(cgroup: Cgroup): void {
    let one = cgroup;
    for (let { above } = one; above !== null && one.id === null && one.below === 0; { above } = one) {
      this.byPath.delete(one.path);
      above.below--;
      this.handOver(one, above);
      one = above;
    }
  }

  /** A memcg that stays keeps its numbers. */
  private handOver(one: Cgroup, above: Cgroup): void {
    for (const n of one.numbers) {
      above.numbers.add(n);
      this.ended.set(n, above);
    }
    if (one.made && this.tree.isLeaf(one.row))
      endCgroup(this.tree, this.owners, this.x, one.numbers, one.row, above.row);
  }
}

/**
 * The memcg of a cgroup that is gone goes offline, and `numbers` that stand for it stand for `above`. The numbers first:
 *   1. the row goes offline, and waits for the pins of that moment   2. a store pins a slot, and finds the row by its number
 *   3. the row is somebody else's   4. the store charges it
 */
export function endCgroup(
  tree: MemcgTree,
  owners: Owners,
  x: number,
  numbers: Iterable<number>,
  row: number,
  above: number,
): void {
  for (const n of numbers) if (rowOfNumber(owners, x, n) === row) setRow(owners, x, n, above);
  tree.release(row);
}

/** The names of a path from the guest's root, or null for what is none. */
function split(path: string): string[] | null {
  try {
    return path.startsWith('/') ? namesOf(path) : null;
  } catch (error) {
    if (error instanceof MemcgError) return null;
    throw error;
  }
}
