/**
 * The cgroups of a guest, as its agent names them: each has a memcg below that of the export, and a number that its slots have
 * (owners.ts). It belongs to the main thread, as the tree of memcgs does.
 *
 *   named   a memcg of the same path comes into being, with all above it, and a number stands for it
 *   gone    its numbers stand for its parent, and then its memcg goes offline; so do those above it that nobody named
 *
 * A memcg that was there before, from the config or by hand, is used as it is, and stays: it has settings that somebody made.
 * So does one that somebody has made memcgs below. One that cgroups of other exports stand for goes with the last of them. The
 * numbers of a cgroup that is gone stand for its parent all the same, and its pages follow (takeLeft).
 *
 * An agent that was started again doesn't know what went while there was none. What the session before has named is void when the
 * first resync of the new one ends, if that has not named it by then; and it makes way before, where there is no room.
 *
 * All that is kept is bounded: a guest may have CGROUPS_MAX cgroups, folders above them among them, and numbers of those that
 * are gone count until no slot has them any more; and it has a share of the rows (guest_rows.ts).
 */

import { endCgroup, GuestNumbers } from './guest_numbers.ts';
import { type GuestRows, orNull } from './guest_rows.ts';
import { DEPTH_MAX } from './memcg.ts';
import { namesOf } from './memcg_path.ts';
import type { MemcgTree } from './memcg_tree.ts';
import { CGROUPS_MAX, NOBODY, type Owners } from './owners.ts';

interface Cgroup {
  /** From the guest's root, without a leading slash; the root's is empty. */
  readonly path: string;
  readonly row: number;
  /** Null for the guest's root. */
  readonly above: Cgroup | null;
  /** What the agent calls it; null for a folder that it did not name, or that is gone. */
  id: bigint | null;
  /** The last one is its own while it has an id. */
  readonly numbers: Set<number>;
  /** Cgroups directly below. */
  below: number;
  /** It was named, and is gone. */
  isGone: boolean;
}

/** Cgroups of a session before that make way for one name, at most: each may leave folders that others have as well. */
const YIELD_MAX = 8;

export class Cgroups {
  private readonly tree: MemcgTree;
  private readonly rows: GuestRows;
  private readonly owners: Owners;
  private readonly x: number;
  private readonly base: readonly string[];
  private readonly byPath = new Map<string, Cgroup>();
  private readonly byId = new Map<bigint, { readonly cgroup: Cgroup; readonly n: number }>();
  private readonly numbers: GuestNumbers;
  /** What this session has not named yet; from its first resync on it makes way. */
  private unheard = new Set<bigint>();
  private yields = false;

  /** Of export `x`, whose memcg is `base`. */
  constructor(tree: MemcgTree, rows: GuestRows, owners: Owners, x: number, base: string) {
    this.tree = tree;
    this.rows = rows;
    this.owners = owners;
    this.x = x;
    this.base = namesOf(base);
    const row = tree.lookup(base);
    this.byPath.set('', { path: '', row, above: null, id: null, numbers: new Set(), below: 0, isGone: false });
    this.numbers = new GuestNumbers(tree, x);
  }

  /**
   * What was done so far: a unit for each cgroup and each folder that was looked at, made or ended, and for 16 numbers that were
   * handed over. One call does at most (YIELD_MAX + 2) * (DEPTH_MAX + CGROUPS_MAX / 8), where others make way for one.
   */
  work = 0;

  /** Cgroups that the agent has named and that are not gone. */
  get count(): number {
    return this.byId.size;
  }

  /** The number of a cgroup, or undefined. */
  numberOf(id: bigint): number | undefined {
    return this.byId.get(id)?.n;
  }

  /** A new session: whatever was named before is to be named again. */
  beginSession(): void {
    this.unheard = new Set(this.byId.keys());
    this.yields = false;
  }

  /** Slots have no owners any more. */
  beginResync(): void {
    this.yields = true;
  }

  /** A session that speaks of a cgroup knows it. */
  hear(id: bigint): number | undefined {
    this.unheard.delete(id);
    return this.numberOf(id);
  }

  /** What the session, whose resync has ended, does not know. The caller ends them. */
  takeUnheard(): bigint[] {
    const ids = [...this.unheard];
    this.unheard.clear();
    return ids;
  }

  /** `id` is the cgroup at `path` from now on. False where it can have no memcg. Nothing that was said may be under way. */
  name(id: bigint, path: string): boolean {
    this.unheard.delete(id);
    const known = this.byId.get(id);
    this.work++;
    const names = this.split(path);
    if (names === null) {
      this.gone(id);
      return false;
    }
    const name = names.join('/');
    if (known?.cgroup.path === name) return true;
    if (known !== undefined) this.gone(id);
    const before = this.byPath.get(name)?.id ?? null;
    if (before !== null) this.gone(before);
    for (let tries = 0; tries < YIELD_MAX; tries++) {
      if (this.take(id, names)) return true;
      const [oldest] = this.unheard;
      if (oldest === undefined || !this.yields) break;
      this.gone(oldest);
      this.reap();
    }
    return false;
  }

  private take(id: bigint, names: readonly string[]): boolean {
    const found = this.ensure(names);
    const n = found === null ? NOBODY : this.numbers.take();
    if (found === null || n === NOBODY) {
      if (found !== null) this.prune(found);
      return false;
    }
    const cgroup = this.renewed(found);
    cgroup.id = id;
    cgroup.numbers.add(n);
    this.byId.set(id, { cgroup, n });
    this.tree.attachNumber(this.x, n, cgroup.row);
    return true;
  }

  /**
   * One that is gone is here while what was below it is, which goes to whom that goes to, and not to the next one of its path. So
   * there are no more of these than cgroups with a name.
   */
  private renewed(found: Cgroup): Cgroup {
    const { path, row, above } = found;
    if (!found.isGone || above === null) return found;
    this.numbers.leave(row, above.row, above);
    this.rows.use(this.x, above.row, [...this.base, path].join('/'));
    return this.add(path, row, above);
  }

  private add(path: string, row: number, above: Cgroup): Cgroup {
    const cgroup = { path, row, above, id: null, numbers: new Set<number>(), below: 0, isGone: false };
    above.below++;
    this.byPath.set(path, cgroup);
    return cgroup;
  }

  /** The cgroup was removed. Its slots are its parent's, if their guest has not freed them. */
  gone(id: bigint): void {
    const known = this.byId.get(id);
    if (known === undefined) return;
    const { cgroup, n } = known;
    this.work++;
    this.byId.delete(id);
    this.unheard.delete(id);
    cgroup.id = null;
    cgroup.isGone = true;
    this.numbers.end(n, cgroup);
    this.prune(cgroup);
  }

  /** Numbers of cgroups that are gone and that no slot has are free. Nothing that was said may be under way. */
  reap(): void {
    this.work += this.numbers.reap();
  }

  /** As GuestNumbers has it. */
  takeLeft(): ReadonlyMap<number, number> {
    return this.numbers.takeLeft();
  }

  /** The names of a path from the guest's root, or null for what is none, or is too deep below the memcg of the export. */
  private split(path: string): string[] | null {
    const names = path.startsWith('/') ? orNull(() => namesOf(path)) : null;
    return names !== null && this.base.length + names.length <= DEPTH_MAX ? names : null;
  }

  private ensure(names: readonly string[]): Cgroup | null {
    let cgroup = this.byPath.get('') ?? null;
    let path = '';
    let whole = this.base.join('/');
    for (const name of names) {
      if (cgroup === null) return null;
      this.work++;
      path = path === '' ? name : `${path}/${name}`;
      whole = whole === '' ? name : `${whole}/${name}`;
      const next: Cgroup | null = this.byPath.get(path) ?? this.make(path, whole, cgroup);
      if (next === null) this.prune(cgroup);
      cgroup = next;
    }
    return cgroup;
  }

  /** `whole`: its path from the root. */
  private make(path: string, whole: string, above: Cgroup): Cgroup | null {
    if (this.byPath.size > CGROUPS_MAX) return null;
    const row = this.rows.use(this.x, above.row, whole);
    return row === null ? null : this.add(path, row, above);
  }

  /** Forgets a cgroup that has no name and nothing below it, and those above it that have no more. */
  private prune(cgroup: Cgroup): void {
    const ending: Cgroup[] = [];
    let stays = cgroup;
    for (let { above } = stays; above !== null && stays.id === null && stays.below === 0; { above } = stays) {
      if (this.byPath.get(stays.path) === stays) this.byPath.delete(stays.path);
      above.below--;
      ending.push(stays);
      stays = above;
    }
    this.handOver(ending, stays);
  }

  /** The numbers of `ending`, the lowest of which comes first, are those of `stays`. In one step, because each may have thousands. */
  private handOver(ending: readonly Cgroup[], stays: Cgroup): void {
    const { rows } = this;
    // A memcg that stays whatever becomes of cgroups gets the numbers of what is below it, if nobody has said that its own is gone.
    const heirs: number[] = [];
    let heir = stays.row;
    for (const { row, isGone } of ending.toReversed()) {
      if (!rows.isMade(row) && !isGone) heir = row;
      heirs.unshift(heir);
    }
    const all = ending.map(({ numbers }) => [...numbers]);
    for (const [i, { row, isGone }] of ending.entries()) {
      const numbers = all[i];
      this.work += 1 + (numbers.length >>> 4);
      for (const n of numbers) this.numbers.end(n, stays);
      if (rows.isMade(row)) endCgroup(this.owners, this.x, numbers, row, heirs[i], () => rows.leave(row));
      else if (isGone) this.numbers.leave(row, heirs[i], stays);
    }
    for (const [i, { row }] of ending.entries()) this.numbers.noteLeft(all[i], row, heirs[i]);
  }
}
