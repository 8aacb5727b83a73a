// The guest's cgroups: number of the folder (its inode, which is what the kernel calls cgroup_id) to path.
//
// Bounds: CGROUPS_MAX living ones and as many that are gone. One beyond that stays unknown, and what is charged to it belongs to
// nobody; so does one whose path is no UTF-8, and all below it. A cgroup that is gone is kept, because pages of it may still be swapped out; the kernel charges those to the nearest
// ancestor that lives, and so do we.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, Problem } from './problem.ts';

const CGROUPS_MAX = 65_536;
/** As deep as the server's tree, whose root counts. */
const DEPTH_MAX = 62;
/** What decoders put in the place of bytes that are no UTF-8. */
const NO_UTF8 = '\ufffd';

interface Cgroup {
  readonly path: string;
  isGone: boolean;
}

export class Cgroups {
  readonly root: string;
  private byId = new Map<number, Cgroup>();
  private byPath = new Map<string, number>();
  private readonly gone: number[] = [];

  constructor(root: string) {
    this.root = root;
  }

  get size(): number {
    return this.byPath.size;
  }

  /** Looks at all folders; returns the numbers of those that are gone since. */
  walk(): number[] {
    const found = new Map<string, number>();
    this.walkFolder('/', 0, found);
    const gone = [...this.byPath].filter(([path, id]) => found.get(path) !== id).map(([, id]) => id);
    for (const id of gone) this.removed(id);
    for (const [path, id] of found) this.made(id, path);
    return gone;
  }

  private walkFolder(path: string, depth: number, found: Map<string, number>): void {
    if (found.size >= CGROUPS_MAX || depth > DEPTH_MAX) return;
    const folder = join(this.root, path);
    try {
      found.set(path, statSync(folder).ino);
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory() && !entry.name.includes(NO_UTF8))
          this.walkFolder(join(path, entry.name), depth + 1, found);
      }
    } catch (error) {
      // It went while we looked.
      if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENODEV') throw error;
      found.delete(path);
    }
  }

  /** Where a name that is no UTF-8 was, its decoder has left a mark; two of those may look the same, and be each other's end. */
  made(id: number, path: string): void {
    if (path.includes(NO_UTF8)) return;
    if (this.byId.get(id)?.isGone === false || this.byPath.size >= CGROUPS_MAX) return;
    const before = this.byPath.get(path);
    if (before !== undefined) this.removed(before);
    this.byId.set(id, { path, isGone: false });
    this.byPath.set(path, id);
  }

  removed(id: number): void {
    const cgroup = this.byId.get(id);
    if (cgroup === undefined || cgroup.isGone) return;
    cgroup.isGone = true;
    this.byPath.delete(cgroup.path);
    this.gone.push(id);
    if (this.gone.length <= CGROUPS_MAX) return;
    for (const old of this.gone.splice(0, CGROUPS_MAX / 2)) this.byId.delete(old);
  }

  pathOf(id: number): string | undefined {
    return this.byId.get(id)?.path;
  }

  idOf(path: string): number | undefined {
    return this.byPath.get(path);
  }

  /** The number itself, or that of the nearest ancestor that lives; undefined for one that nobody knows. */
  living(id: number): number | undefined {
    const cgroup = this.byId.get(id);
    if (cgroup === undefined || !cgroup.isGone) return cgroup === undefined ? undefined : id;
    for (let path = cgroup.path; path !== '/'; ) {
      path = path.slice(0, Math.max(1, path.lastIndexOf('/')));
      const ancestor = this.byPath.get(path);
      if (ancestor !== undefined) return ancestor;
    }
    return undefined;
  }
}

/** Where cgroup v2 is mounted, which must have the memory controller: v1 keeps the charge of a slot in another way. */
export function findCgroupRoot(): string {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  const root = /^\S+ \S+ \S+ \/ (\S+) [^\n]* - cgroup2 /m.exec(mounts)?.[1];
  if (root === undefined)
    throw new Problem('no cgroup v2 with its root is mounted here; an agent in a container can not work');
  const controllers = readFileSync(join(root, 'cgroup.controllers'), 'utf8').trim().split(' ');
  if (!controllers.includes('memory'))
    throw new Problem(`${root} has no memory controller: it is with cgroup v1, or off`);
  return root;
}
