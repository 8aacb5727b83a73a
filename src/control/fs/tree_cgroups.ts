/**
 * /cgroup of the tree of memcgs, which is in shared memory: what is set, made or removed here holds for the next page of every
 * thread. The root's sums are those of the pool, because the tree counts nothing for it.
 */
import { POOL } from '../../pool/counters.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import { CELL, countOf, currentOf, MEMCG, type Memcgs, nameOf, pathOf, ROOT, TABLE } from '../../pool/memcg.ts';
import { MemcgError } from '../../pool/memcg_path.ts';
import type { MemcgTree } from '../../pool/memcg_tree.ts';
import { addCharged } from '../../pool/owners.ts';
import type { Shared } from '../../pool/shared.ts';
import { sum } from '../../shm/counters.ts';
import { C } from '../../zswap/counters.ts';
import type { CgroupStat, Cgroups } from './cgroup.ts';
import { FsError } from './errors.ts';
import { NO_LIMIT } from './notations.ts';

/** Has so many bytes of a memcg and what is below it written back, of pages that old if an age is given: 0, or the errno of what kept it from that. */
export type ReclaimBytes = (m: number, bytes: number, ageSeconds: number | null, gone: AbortSignal) => Promise<number>;

export function treeCgroups(shared: Shared, tree: MemcgTree, reclaim: ReclaimBytes): Cgroups {
  const { memcgs: t } = shared;
  const join = (parent: number, name: string): string => (parent === ROOT ? name : `${pathOf(t, parent)}/${name}`);
  return {
    root: ROOT,
    child: (parent, name) => {
      try {
        return tree.lookup(join(parent, name));
      } catch (error) {
        // Neither one that is not there, nor one that can't be.
        if (error instanceof MemcgError) return undefined;
        throw error;
      }
    },
    children: (parent) => tree.children(parent).map((m) => [nameOf(t, m), m]),
    descendants: (m) => {
      // Nobody else looks for rows that have become free while no memcg is made.
      tree.reap();
      return descendants(t, m);
    },
    current: (m) => currentOf(t, m),
    max: (m) => Math.min(t.max[m], NO_LIMIT),
    writeback: (m) => t.keeps[m] === 0,
    stat: (m) => cgroupStat(shared, m),
    setMax: (m, bytes) => named(() => tree.setMax(pathOf(t, m), bytes === NO_LIMIT ? Number.POSITIVE_INFINITY : bytes)),
    setWriteback: (m, on) => named(() => tree.setWriteback(pathOf(t, m), on)),
    create: (parent, name) => named(() => void tree.create(join(parent, name))),
    keep: (m) => tree.keep(m),
    reclaim: async (m, bytes, ageSeconds, gone) => {
      const release = tree.hold(m);
      const result = await reclaim(m, bytes, ageSeconds, gone).finally(release);
      if (result !== 0) throw new FsError('EAGAIN', 'less could be written back than was asked for');
    },
    remove: (m) => named(() => tree.offline(pathOf(t, m))),
  };
}

/** By memcg, with what is below it: what agents say of it. */
interface OfAgents {
  /** Slots that are charged there. */
  readonly charged: Float64Array;
  /** Bytes of objects of dead pages. */
  readonly dead: Float64Array;
}

export function ofAgents({ memcgs: t, lru }: Shared): OfAgents {
  const charged = new Float64Array(t.rows);
  addCharged(t.owners, charged);
  return { charged: withBelow(t, charged), dead: withBelow(t, lru.dead) };
}

function withBelow({ parent }: Memcgs, own: Float64Array): Float64Array {
  const all = own.slice();
  own.forEach((value, m) => {
    if (value === 0) return;
    for (let row = m; row !== ROOT; ) {
      row = parent[row];
      all[row] += value;
    }
  });
  return all;
}

/** What memory.stat and `zswapd stats` say of a memcg. */
export function cgroupStat(shared: Shared, m: number, { charged, dead } = ofAgents(shared)): CgroupStat {
  const { memcgs: t, counters } = shared;
  const said = { agent_charged: charged[m] * PAGE_SIZE, zswap_dead: dead[m] };
  if (m === ROOT) return { ...statOfPool((column) => sum(counters, column)), ...said };
  return {
    zswap: currentOf(t, m),
    zswapped: countOf(t, m, CELL.PAGES) * PAGE_SIZE,
    zswap_incomp: countOf(t, m, CELL.INCOMPRESSIBLE) * PAGE_SIZE,
    zswpin: countOf(t, m, CELL.ZSWPIN),
    zswpout: countOf(t, m, CELL.ZSWPOUT),
    zswpwb: countOf(t, m, CELL.ZSWPWB),
    zswpwb_proactive_b: countOf(t, m, CELL.PROACTIVE),
    ...said,
  };
}

function statOfPool(total: (column: number) => number): Omit<CgroupStat, 'agent_charged' | 'zswap_dead'> {
  return {
    zswap: total(POOL.compressed_bytes),
    zswapped: total(POOL.stored_pages) * PAGE_SIZE,
    zswap_incomp: total(POOL.stored_incompressible_pages) * PAGE_SIZE,
    zswpin: total(C.zswpin),
    zswpout: total(C.zswpout),
    zswpwb: total(C.written_back_pages),
    zswpwb_proactive_b: total(C.zswpwb_proactive_b),
  };
}

function descendants(t: Memcgs, m: number): { online: number; dying: number } {
  let online = 0;
  let dying = 0;
  for (let row = ROOT + 1; row < t.control[TABLE.END]; row++) {
    if (t.state[row] === MEMCG.FREE || row === m || !isBelow(t, row, m)) continue;
    if (t.state[row] === MEMCG.ONLINE) online++;
    else dying++;
  }
  return { online, dying };
}

function isBelow(t: Memcgs, row: number, m: number): boolean {
  let above = row;
  while (above !== ROOT && above !== m) above = t.parent[above];
  return above === m;
}

/** The error of a file, of what the tree refuses. */
function named(change: () => void): void {
  try {
    change();
  } catch (error) {
    if (!(error instanceof MemcgError)) throw error;
    throw new FsError(error.code, error.message.slice(error.code.length + 2));
  }
}
