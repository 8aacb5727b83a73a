/** What GET /stats answers: the counters, and what can be computed from the shared state. Bytes, pages and milliseconds. */

import type { Config } from '../config/schema.ts';
import { allocatorOf, poolTotal } from '../pool/allocator/index.ts';
import { setCount } from '../pool/bits.ts';
import { freeBuffers } from '../pool/buffers.ts';
import { budgetLeft, limitLeft, onDemandPages } from '../pool/export_accounts.ts';
import { stateOf, TABLE } from '../pool/export_state.ts';
import { THREAD_LANE0 } from '../pool/limits.ts';
import { currentOf, hasHomes, onlineRows, pathOf } from '../pool/memcg.ts';
import { metadataBytes, type Shared } from '../pool/shared.ts';
import { rowOf, sum } from '../shm/counters.ts';
import { readHeader } from '../zswap/swap_header.ts';
import { cgroupStat, ofAgents } from './fs/tree_cgroups.ts';

/**
 * Memcgs in one answer. The main thread makes it in one go, and each may have a path of 4 KiB; all are at /v1/fs/cgroup.
 */
const MEMCGS_SHOWN = 1024;

/** What is counted, in the order in which it is shown: the name of each counter, and its column. */
export interface ShownCounters {
  readonly all: Readonly<Record<string, number>>;
  /** Those that mean something for one lane alone. */
  readonly ofLane: Readonly<Record<string, number>>;
}

/** What the server knows beside the shared memory. */
interface ProcessReport {
  readonly version: string;
  readonly startedMs: number;
  readonly droppedLines: number;
  /** Of a supervised server: what its supervisor has seen. */
  readonly supervisor: object | null;
  /** What was done for the process, by option. */
  readonly care: Readonly<Record<string, object>>;
  /** Where agents are heard, and what is counted of that of export `x`, if it has one. */
  readonly agents: { readonly where: object; report(x: number): object | null };
}

export function statsReport(shared: Shared, shown: ShownCounters, config: Config, process: ProcessReport): object {
  const { version, startedMs, droppedLines, care, agents, supervisor } = process;
  const { settings, memcgs } = shared;
  const rows = memcgsOfNote(shared);
  const shownRows = mostNoted(shared, rows);
  const said = ofAgents(shared);
  return {
    version,
    uptime_s: Math.round((performance.now() - startedMs) / 1000),
    log_lines_dropped: droppedLines,
    durability: config.durability,
    supervisor,
    process: care,
    protocol: config.protocol,
    pool: {
      pool_total_size: poolTotal(shared.zs),
      pool_max: settings.poolBytes,
      metadata_bytes: metadataBytes(shared),
      resident_free_bytes: allocatorOf(shared.zs).idle(shared.zs),
      writeback_buffers_free: freeBuffers(shared.writebackBuffers),
      request_buffers_free: freeBuffers(shared.requestBuffers),
      ...each(shown.all, (column) => sum(shared.counters, column)),
    },
    agents: agents.where,
    memcgs: shownRows.map((m) => memcgReport(shared, m, said)),
    memcgs_left_out: rows.length - shownRows.length,
    exports: settings.exports.map((one, x) => ({
      name: one.name,
      size: config.exports[x].size,
      memcg: pathOf(memcgs, memcgs.ofExport[x]),
      attribution: config.exports[x].attribution,
      agent: agents.report(x),
      used_pages: setCount(shared.users, x),
      lost_pages: setCount(shared.lost, x),
      writeback: writebackReport(shared, x),
      state: TABLE[stateOf(shared.states, x)].name,
      clients: shared.clients[x],
      swap_signature: readHeader(shared, x),
    })),
    lanes: shared.answers.map((_, lane) => {
      const row = rowOf(shared.counters, THREAD_LANE0 + lane);
      return { lane, ...each(shown.ofLane, (column) => row[column]) };
    }),
  };
}

/** Pages that may still be written back on demand: null without a limit, or without a budget. */
function writebackReport({ accounts, clock, settings }: Shared, x: number): object {
  const { budget } = settings.exports[x];
  const finite = (pages: number): number | null => (Number.isFinite(pages) ? pages : null);
  return {
    on_demand_pages: onDemandPages(accounts, x),
    limit_left: finite(limitLeft(accounts, x)),
    budget_pages: budget?.pages ?? null,
    budget_left: finite(budgetLeft(accounts, x, budget, clock)),
  };
}

/** Memcgs that are online and have a page, an export or a setting of their own; the others, of which there may be many, show nothing. */
function memcgsOfNote({ memcgs }: Shared): number[] {
  const isSet = (m: number): boolean => memcgs.max[m] !== Number.POSITIVE_INFINITY || memcgs.keeps[m] !== 0;
  return onlineRows(memcgs).filter((m) => hasHomes(memcgs, m) || isSet(m) || currentOf(memcgs, m) > 0);
}

/** So many, in their order: those that can have pages of their own before those that have a setting alone. */
function mostNoted({ memcgs }: Shared, rows: readonly number[]): readonly number[] {
  if (rows.length <= MEMCGS_SHOWN) return rows;
  const homes = rows.filter((m) => hasHomes(memcgs, m));
  const others = rows.filter((m) => !hasHomes(memcgs, m));
  return [...homes, ...others].slice(0, MEMCGS_SHOWN).sort((a, b) => a - b);
}

/** What is below a memcg counts for it, but on the list. The root has what the pool has. */
function memcgReport(shared: Shared, m: number, said: ReturnType<typeof ofAgents>): object {
  const { memcgs, lru } = shared;
  const { max } = memcgs;
  const { zswap, ...stat } = cgroupStat(shared, m, said);
  return {
    name: pathOf(memcgs, m),
    'zswap.current': zswap,
    'zswap.max': max[m] === Number.POSITIVE_INFINITY ? 'max' : max[m],
    'zswap.writeback': memcgs.keeps[m] === 0,
    lru_pages: lru.count[m],
    ...stat,
  };
}

function each(columns: Readonly<Record<string, number>>, value: (column: number) => number): Record<string, number> {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, round(value(column))]));
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
