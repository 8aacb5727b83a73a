/** What a lane counts of its connections, and the counters of the NBD package, which are kept in this lane's row. */
import type { ConnectionCounters } from 'node-nbd-server';
import { declareCounters } from '../shm/counters.ts';
import { C, SCRUB_COUNTERS } from '../zswap/counters.ts';

export const LANE_COUNTERS = declareCounters(SCRUB_COUNTERS.end, {
  connections: 'connections served',
  reads: 'READ requests',
  writes: 'WRITE requests',
  trims: 'TRIM requests',
  write_zeroes: 'WRITE_ZEROES requests',
  flushes: 'FLUSH requests',
  errors: 'requests answered with an error',
  bytes_in: 'bytes received from clients, with handshakes and headers',
  bytes_out: 'bytes sent to clients, with handshakes and headers',
  gc_ms: 'milliseconds of garbage collection',
  heap_used_bytes: 'bytes of its heap in use after the last garbage collection',
});
/** Column of each. */
export const LANE = LANE_COUNTERS.columns;

/** Accessors over one row: the package adds to plain fields and knows nothing of shared memory. */
export function laneCounters(row: Float64Array): ConnectionCounters {
  const counters = {} as ConnectionCounters;
  const columns: Record<keyof ConnectionCounters, number> = {
    reads: LANE.reads,
    writes: LANE.writes,
    trims: LANE.trims,
    writeZeroes: LANE.write_zeroes,
    flushes: LANE.flushes,
    errors: LANE.errors,
    bytesIn: LANE.bytes_in,
    bytesOut: LANE.bytes_out,
    holeBlocks: C.zero_reads,
    fencedUnits: C.fenced_units,
    parks: C.parks,
  };
  for (const [name, column] of Object.entries(columns)) {
    Object.defineProperty(counters, name, {
      enumerable: true,
      get: () => row[column],
      set: (value: number) => {
        row[column] = value;
      },
    });
  }
  return counters;
}
