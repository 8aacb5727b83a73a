/**
 * All counters of a server, gathered from whoever declares them: what GET /stats shows, in this order. A new counter is a line
 * where it is counted, and nothing here.
 */
import type { ShownCounters } from '../control/stats_report.ts';
import { IMAGE, IMAGE_COUNTERS } from '../image/counters.ts';
import { POOL_COUNTERS } from '../pool/counters.ts';
import { assert } from '../shm/assert.ts';
import type { CounterBlock } from '../shm/counters.ts';
import { WAIT_COUNTERS } from '../shm/waits.ts';
import { C, SCRUB_COUNTERS, ZSWAP_COUNTERS } from '../zswap/counters.ts';
import { LANE, LANE_COUNTERS } from './lane_counters.ts';

/** The columns of the blocks by name; two with the same column or name would show one of them as the other. */
export function gather(blocks: readonly CounterBlock<string>[]): Record<string, number> {
  const entries = blocks.flatMap(({ columns }) => Object.entries(columns));
  assert(new Set(entries.map(([, column]) => column)).size === entries.length, 'each counter has a column of its own');
  assert(new Set(entries.map(([name]) => name)).size === entries.length, 'each counter has a name of its own');
  return Object.fromEntries(entries);
}

const { gc_ms, heap_used_bytes, ...requests } = LANE;
const { image_reads } = IMAGE;
const { zswpout, zswpin, zero_reads, parks, fenced_units } = C;

export const SHOWN: ShownCounters = {
  all: gather([POOL_COUNTERS, IMAGE_COUNTERS, ZSWAP_COUNTERS, SCRUB_COUNTERS, LANE_COUNTERS, WAIT_COUNTERS]),
  ofLane: { ...requests, zswpout, zswpin, image_reads, zero_reads, parks, fenced_units, gc_ms, heap_used_bytes },
};
