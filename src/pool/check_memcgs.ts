/** Of the check of the pool: what memcgs are charged, by list and by subtree, and what uses a row that it must not use. */
import type { Attribution } from './attribution.ts';
import { currentOf, heirOf, isOnline, MEMCG, type Memcgs, pathOf, ROOT } from './memcg.ts';
import { rowsOfNumbers } from './owners.ts';

/** Of a memcg that is online: what its list and its subtree are charged, and the lengths of the entries there. */
export interface MemcgSums {
  readonly name: string;
  readonly charged_bytes: number;
  /** Of the list: what is counted of dead pages, and the lengths of those that are there. */
  readonly dead_bytes: number;
  readonly dead_lengths_bytes: number;
  readonly lengths_bytes: number;
  readonly subtree_charged_bytes: number;
  readonly subtree_lengths_bytes: number;
}

/** Of rows that are not online, in rows but for the first. */
export interface RowFaults {
  /** Entries with an object that name one that is free. */
  readonly named_free: number;
  /** Their list has something on it, or is charged. */
  readonly listed: number;
  /** What is charged is not what their entries and those below have. */
  readonly wrong_charges: number;
  /** Exports, ranges and numbers of agents that stand for one. */
  readonly owners: number;
}

interface Checked {
  readonly memcgs: Memcgs;
  readonly lru: {
    readonly head: Int32Array;
    readonly count: Int32Array;
    readonly charged: Float64Array;
    readonly dead: Float64Array;
  };
  readonly settings: { readonly exports: readonly unknown[] };
}

/** By the memcg that entries name, which may be offline: `lengths` and `dead` in bytes, `named` entries with an object. */
export function checkMemcgs(
  { memcgs, lru, settings }: Checked,
  lengths: Float64Array,
  dead: Float64Array,
  named: Uint32Array,
): { memcgs: MemcgSums[]; memcg_rows: RowFaults } {
  const listed = new Float64Array(memcgs.rows);
  const below = new Float64Array(memcgs.rows);
  const deadThere = new Float64Array(memcgs.rows);
  lengths.forEach((bytes, m) => {
    if (bytes === 0) return;
    listed[heirOf(memcgs, m)] += bytes;
    deadThere[heirOf(memcgs, m)] += dead[m];
    for (let row = m; row !== ROOT; row = memcgs.parent[row]) below[row] += bytes;
  });
  const sums: MemcgSums[] = [];
  const faults = { named_free: 0, listed: 0, wrong_charges: 0, owners: strayOwners(memcgs, settings.exports.length) };
  for (let m = 0; m < memcgs.rows; m++) {
    if (isOnline(memcgs, m)) {
      sums.push({
        name: pathOf(memcgs, m),
        charged_bytes: lru.charged[m],
        lengths_bytes: listed[m],
        dead_bytes: lru.dead[m],
        dead_lengths_bytes: deadThere[m],
        subtree_charged_bytes: currentOf(memcgs, m),
        subtree_lengths_bytes: below[m],
      });
      continue;
    }
    const free = memcgs.state[m] === MEMCG.FREE;
    if (free) faults.named_free += named[m];
    if (lru.head[m] !== 0 || lru.count[m] !== 0 || lru.charged[m] !== 0) faults.listed++;
    if (currentOf(memcgs, m) !== (free ? 0 : below[m])) faults.wrong_charges++;
  }
  return { memcgs: sums, memcg_rows: faults };
}

function strayOwners(memcgs: Memcgs & Attribution, exports: number): number {
  const rows = [...memcgs.ofExport.subarray(0, exports), ...memcgs.rangeMemcg];
  for (let x = 0; x < exports; x++) rows.push(...rowsOfNumbers(memcgs.owners, x));
  return rows.filter((m) => !isOnline(memcgs, m)).length;
}
