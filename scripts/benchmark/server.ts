/**
 * What the benchmark asks of a server: to start empty, to say what it holds, to go away without a trace.
 */

export interface StartContext {
  /** An own folder of this run, for sockets and images. Ours to delete. */
  readonly folder: string;
  readonly root: string;
  readonly bytes: number;
}

/** What a server holds at one moment, between two runs. */
export interface Holding {
  readonly storedPages: number;
  /** Growth since the start of everything that the pages cost: the process, and memory that it keeps elsewhere. */
  readonly residentBytes: number;
  /** Bytes of the pages over bytes of their compressed form; absent where nothing is compressed. */
  readonly ratio?: number;
  /** Memory taken over compressed bytes: what allocator and metadata add. */
  readonly overhead?: number;
  /** Time in the garbage collector so far, one figure per thread. */
  readonly gcMs?: readonly number[];
  /** Bytes that have reached a device below the server so far, where that differs from what the server was given. */
  readonly bytesBelow?: number;
}

export interface RunningServer {
  readonly uri: string;
  readonly pid: number;
  holding(): Promise<Holding>;
  stop(): Promise<unknown>;
}

export interface ServerKind {
  readonly name: string;
  readonly title: string;
  /** The reason why it cannot be measured here, if there is one. */
  unavailable(context: StartContext): Promise<string | undefined>;
  start(context: StartContext): Promise<RunningServer>;
}

export const PAGE_BYTES = 4096;

export const socketUri = (path: string): string => `nbd+unix:///?socket=${encodeURI(path)}`;
