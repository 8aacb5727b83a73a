/** The counters of the NBD package, kept in this lane's row of the shared counters. */
import type { ConnectionCounters } from 'node-nbd-server';
import { C } from '../shm/counters.ts';

/** Accessors over one row: the package adds to plain fields and knows nothing of shared memory. */
export function laneCounters(row: Float64Array): ConnectionCounters {
  const counters = {} as ConnectionCounters;
  const columns: Record<keyof ConnectionCounters, number> = {
    reads: C.reads,
    writes: C.writes,
    trims: C.trims,
    writeZeroes: C.write_zeroes,
    flushes: C.flushes,
    errors: C.errors,
    bytesIn: C.bytes_in,
    bytesOut: C.bytes_out,
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
