/** The memcgs that there are when a server starts, or a run of an explorer: what the config says, and those of its exports. */
import type { SlotRange } from './attribution.ts';
import { ROOT } from './memcg.ts';
import { below, UNATTRIBUTED } from './memcg_path.ts';
import { type MemcgPool, MemcgTree } from './memcg_tree.ts';
import { NOBODY } from './owners.ts';

/** What a config or a scenario begins with. */
interface Start {
  /** `name`: its path. */
  readonly memcgs: readonly { readonly name: string; readonly max: number; readonly writeback: boolean }[];
  /** `memcg`: an index of memcgs. */
  readonly exports: readonly {
    readonly name: string;
    readonly memcg: number;
    readonly ranges?: readonly SlotRange[];
    readonly agent?: boolean;
  }[];
}

/** Makes the memcgs that settings begin with, in their order, each after those above it. */
export function fillMemcgs(pool: Omit<MemcgPool, 'settings'> & { readonly settings: Start }, thread: number): void {
  const { memcgs, exports } = pool.settings;
  const tree = new MemcgTree(pool, thread);
  for (const { name, max, writeback } of memcgs) {
    const m = tree.ensure(name);
    if (m !== ROOT && max < Number.MAX_SAFE_INTEGER) tree.setMax(name, max);
    tree.setWriteback(name, writeback);
  }
  for (const [x, { memcg, ranges = [], agent = false }] of exports.entries()) {
    tree.attach(x, memcgs[memcg].name);
    tree.attachRanges(x, ranges, (index) => memcgs[index].name);
    if (agent) tree.attachNumber(x, NOBODY, tree.ensure(below(memcgs[memcg].name, UNATTRIBUTED)));
  }
}
