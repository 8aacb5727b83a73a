/** /cgroup: a folder for each memcg, with the files that the kernel has for zswap. What is behind them is asked of a Cgroups. */
import type { CGROUP_FILES } from '../../pool/memcg_path.ts';
import { formatLimit, formatLines, parseInteger, parseLimit, parseReclaim } from './notations.ts';
import { type File, type FilesOf, type Folder, filesOf } from './tree.ts';

/** memory.stat: bytes the first three and the last one, pages (events) the others. */
export interface CgroupStat {
  readonly zswap: number;
  readonly zswapped: number;
  readonly zswap_incomp: number;
  readonly zswpin: number;
  readonly zswpout: number;
  readonly zswpwb: number;
  /** Of objects that were written back for memory.reclaim. */
  readonly zswpwb_proactive_b: number;
  /** Bytes of slots that agents say are charged there, as memory.swap.current of their guests counts. */
  readonly agent_charged: number;
  /** Bytes of objects of pages whose slots agents say are free. */
  readonly zswap_dead: number;
}

/** The memcgs, each by a number of its own. Sums are with descendants. */
export interface Cgroups {
  readonly root: number;
  /** Undefined where there is none of this name. */
  child(parent: number, name: string): number | undefined;
  /** Name and number of each. There may be 65,000, so they come without another look at any of them. */
  children(parent: number): [name: string, m: number][];
  /** `online` ones below it, and `dying` ones: gone, and still named by a page or a store. */
  descendants(m: number): { readonly online: number; readonly dying: number };
  current(m: number): number;
  /** NO_LIMIT (notations.ts) for none. */
  max(m: number): number;
  writeback(m: number): boolean;
  stat(m: number): CgroupStat;
  /** What follows throws an FsError where it can't be done. */
  setMax(m: number, bytes: number): void;
  setWriteback(m: number, on: boolean): void;
  create(parent: number, name: string): void;
  /** It stays, though a cgroup of a guest may have made it. */
  keep(m: number): void;
  remove(m: number): void;
  /** Writes back so many bytes of it and what is below it, of pages that old if an age is given; ends when `gone` says that nobody waits for it. */
  reclaim(m: number, bytes: number, ageSeconds: number | null, gone: AbortSignal): Promise<void>;
}

function files(groups: Cgroups): Readonly<Record<(typeof CGROUP_FILES)[number], FilesOf<number>[string]>> {
  return {
    'cgroup.stat': {
      read: (m) => {
        const { online, dying } = groups.descendants(m);
        return formatLines({ nr_descendants: online, nr_dying_descendants: dying });
      },
    },
    'memory.reclaim': {
      write: async (m, text, gone) => {
        const { bytes, ageSeconds } = parseReclaim(text);
        if (bytes > 0) await groups.reclaim(m, bytes, ageSeconds, gone);
      },
    },
    'memory.stat': { read: (m) => formatLines({ ...groups.stat(m) }) },
    'memory.zswap.current': { read: (m) => String(groups.current(m)) },
    'memory.zswap.max': {
      read: (m) => formatLimit(groups.max(m)),
      write: (m, text) => groups.setMax(m, parseLimit(text)),
    },
    'memory.zswap.writeback': {
      read: (m) => (groups.writeback(m) ? '1' : '0'),
      write: (m, text) => groups.setWriteback(m, parseInteger(text, 0, 1) === 1),
    },
  };
}

/** What the root has not, as in the kernel: it is the machine, which no cgroup limits. */
const NOT_OF_ROOT = ['memory.zswap.current', 'memory.zswap.max'];

export function cgroupFolder(groups: Cgroups): Folder {
  const ofAll = files(groups);
  const ofRoot = Object.fromEntries(Object.entries(ofAll).filter(([name]) => !NOT_OF_ROOT.includes(name)));
  const filesFor = (m: number): FilesOf<number> => (m === groups.root ? ofRoot : ofAll);
  return new CgroupFolder(groups, filesFor, groups.root);
}

/** A class, because a list makes one of it for each of 65,000 memcgs. */
class CgroupFolder implements Folder {
  private readonly groups: Cgroups;
  private readonly filesFor: (m: number) => FilesOf<number>;
  private readonly m: number;

  constructor(groups: Cgroups, filesFor: (m: number) => FilesOf<number>, m: number) {
    this.groups = groups;
    this.filesFor = filesFor;
    this.m = m;
  }

  parts(): [string, File | Folder][] {
    const parts: [string, File | Folder][] = Object.entries(filesOf(this.filesFor(this.m), this.m));
    for (const [name, m] of this.groups.children(this.m)) {
      parts.push([name, new CgroupFolder(this.groups, this.filesFor, m)]);
    }
    return parts;
  }

  at(name: string): File | Folder | undefined {
    const mine = this.filesFor(this.m);
    if (Object.hasOwn(mine, name)) return filesOf(mine, this.m)[name];
    const m = this.groups.child(this.m, name);
    return m === undefined ? undefined : new CgroupFolder(this.groups, this.filesFor, m);
  }

  mkdir(name: string): void {
    this.groups.create(this.m, name);
  }

  keep(name: string): void {
    this.groups.keep(this.groups.child(this.m, name) as number);
  }

  rmdir(name: string): void {
    this.groups.remove(this.groups.child(this.m, name) as number);
  }
}
