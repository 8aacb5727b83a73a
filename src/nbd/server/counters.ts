/** What a connection counts. The owner passes an object of its own, often one for all connections of a thread. */
export interface ConnectionCounters {
  reads: number;
  writes: number;
  trims: number;
  writeZeroes: number;
  flushes: number;
  /** Requests answered with an error. */
  errors: number;
  /** What has crossed the socket: handshakes and headers as well as payload. */
  bytesIn: number;
  bytesOut: number;
  /** Blocks of READs that were answered as holes, without asking the device for their bytes. */
  holeBlocks: number;
  /** Units (blocks of WRITE payload, whole other requests) dropped because their connection had ended. */
  fencedUnits: number;
  /** WRITEs that had to wait, each counted once, however often and for how many of its blocks. */
  parks: number;
}

export function connectionCounters(): ConnectionCounters {
  return {
    reads: 0,
    writes: 0,
    trims: 0,
    writeZeroes: 0,
    flushes: 0,
    errors: 0,
    bytesIn: 0,
    bytesOut: 0,
    holeBlocks: 0,
    fencedUnits: 0,
    parks: 0,
  };
}
