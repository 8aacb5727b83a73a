/**
 * Samples, once a second: what the client did since the last one, what the server says of itself, what the kernel says of
 * both processes. Each is a row of the time series; what plots and slopes need is kept in memory as well, thinned out in a
 * long run: KEPT_MAX rows.
 */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { errorText } from '../os/exit_error.ts';
import { type Control, numberOf, type Row, rowOf, rowsOf } from './control.ts';
import type { FaultWatch } from './fault_watch.ts';
import type { Latency } from './histogram.ts';
import type { Ledger } from './ledger.ts';
import { type ProcessSample, readProcess, readProcessors } from './procfs.ts';

export const SAMPLE_MS = 1000;
const KEPT_MAX = 7200;

export interface Sample {
  readonly type: 'sample';
  /** Seconds since the run began. */
  readonly t: number;
  readonly phase: string;
  readonly opsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly latencies: Readonly<Record<string, Latency>>;
  readonly troubles: number;
  readonly wrong: number;
  readonly unsureSlots: number;
  readonly server: ProcessSample | null;
  readonly own: OwnSample;
  /** Of the processors of the machine, the share in per cent that neither server nor soak has taken. */
  readonly others: number;
  /** Flattened: `pool.stored_pages`, `memcg./a`, `lanes.gc_ms`. Null where nobody can be asked. */
  readonly stats: Readonly<Record<string, number>> | null;
  readonly faults: readonly {
    readonly id: string;
    readonly reached: number;
    readonly injected: number;
    readonly active: boolean;
  }[];
}

interface OwnSample {
  readonly rss: number;
  readonly fds: number;
  readonly heap: number;
  readonly gcMs: number;
  readonly loopDelayMs: number;
}

interface SamplerOptions {
  readonly ledger: Ledger;
  readonly control: Control | null;
  readonly watch: FaultWatch | null;
  /** Of the server, if it is ours. */
  readonly pid: () => number | null;
  readonly unsure: () => number;
  readonly onSample: (sample: Sample) => void;
}

export class Sampler {
  readonly samples: Sample[] = [];
  /** What /stats said first and last, of this server, and by how much counters had grown with those before it. */
  #first: Row | null = null;
  #last: Row | null = null;
  readonly #carried = new Map<string, number>();
  /** Times that the server did not answer. */
  silent = 0;
  silentWhy = '';
  readonly #o: SamplerOptions;
  readonly #beganMs = performance.now();
  readonly #delay = monitorEventLoopDelay({ resolution: 20 });
  readonly #collections: PerformanceObserver;
  #gcMs = 0;
  #stride = 1;
  #taken = 0;
  #then = { ms: performance.now(), operations: 0, bytes: 0 };
  #ticks = { ...readProcessors(), ours: 0 };

  constructor(o: SamplerOptions) {
    this.#o = o;
    this.#delay.enable();
    this.#collections = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) this.#gcMs += duration;
    });
    this.#collections.observe({ entryTypes: ['gc'] });
  }

  get seconds(): number {
    return (performance.now() - this.#beganMs) / 1000;
  }

  /** When `ms` of performance.now() was, in seconds of the run. */
  at(ms: number): number {
    return (ms - this.#beganMs) / 1000;
  }

  async take(): Promise<void> {
    const { ledger, watch, pid, unsure, onSample } = this.#o;
    const [stats] = await Promise.all([this.#stats(), watch === null ? null : this.#quietly(() => watch.poll())]);
    const now = performance.now();
    const seconds = Math.max(1e-3, (now - this.#then.ms) / 1000);
    const { operations, bytes } = ledger;
    const serverPid = pid();
    const server = serverPid === null ? null : readProcess(serverPid);
    const sample: Sample = {
      type: 'sample',
      t: this.at(now),
      phase: ledger.phase,
      opsPerSecond: (operations - this.#then.operations) / seconds,
      bytesPerSecond: (bytes - this.#then.bytes) / seconds,
      latencies: ledger.takeInterval(),
      troubles: ledger.troubleCount,
      wrong: ledger.wrongPages + ledger.lostPages,
      unsureSlots: unsure(),
      server,
      own: this.#own(),
      others: this.#others(server),
      stats,
      faults: watch?.rows.map(({ id, reached, injected, active }) => ({ id, reached, injected, active })) ?? [],
    };
    this.#then = { ms: now, operations, bytes };
    onSample(sample);
    if (this.#taken++ % this.#stride === 0) this.samples.push(sample);
    if (this.samples.length < KEPT_MAX) return;
    this.#stride *= 2;
    this.samples.splice(0, this.samples.length, ...this.samples.filter((_, i) => i % 2 === 0));
  }

  /** By how much a counter of the pool has grown since the run began. */
  counted(name: string): number {
    return this.#grown(name) + (this.#carried.get(name) ?? 0);
  }

  /** What a counter of the pool was when this server was last asked. */
  said(name: string): number {
    return this.#last === null ? 0 : numberOf(rowOf(this.#last, 'pool'), name);
  }

  /** The server is gone; what comes is of another one, which begins at zero. */
  carry(): void {
    for (const name of Object.keys(rowOf(this.#last ?? {}, 'pool'))) this.#carried.set(name, this.counted(name));
    this.#first = {};
    this.#last = null;
  }

  #grown(name: string): number {
    const of = (stats: Row | null): number => (stats === null ? 0 : numberOf(rowOf(stats, 'pool'), name));
    return this.#last === null ? 0 : of(this.#last) - of(this.#first);
  }

  close(): void {
    this.#delay.disable();
    this.#collections.disconnect();
  }

  async #stats(): Promise<Record<string, number> | null> {
    const { control } = this.#o;
    if (control === null) return null;
    const stats = await this.#quietly(() => control.stats());
    if (stats === null) return null;
    this.#first ??= stats;
    this.#last = stats;
    return flat(stats);
  }

  /** A server that is being hurt may not answer; that is counted. */
  async #quietly<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      return await ask();
    } catch (error) {
      this.silent++;
      this.silentWhy = errorText(error);
      return null;
    }
  }

  /** A server that was started anew begins at zero, and is not told from others for one sample. */
  #others(server: ProcessSample | null): number {
    const then = this.#ticks;
    const ours = (server?.ticks ?? 0) + (readProcess('self')?.ticks ?? 0);
    this.#ticks = { ...readProcessors(), ours };
    const others = this.#ticks.busy - then.busy - Math.max(0, ours - then.ours);
    return (100 * Math.max(0, others)) / Math.max(1, this.#ticks.all - then.all);
  }

  #own(): OwnSample {
    const { rss = 0, fds = 0 } = readProcess('self') ?? {};
    const loopDelayMs = this.#delay.max / 1e6;
    this.#delay.reset();
    return { rss, fds, heap: process.memoryUsage().heapUsed, gcMs: this.#gcMs, loopDelayMs };
  }
}

/** Every number of the pool, each memcg's bytes, and the sum of what lanes alone know. */
function flat(stats: Row): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, value] of Object.entries(rowOf(stats, 'pool'))) {
    if (typeof value === 'number') found[`pool.${name}`] = value;
  }
  for (const row of rowsOf(stats, 'memcgs')) found[`memcg.${String(row.name)}`] = numberOf(row, 'zswap.current');
  for (const row of rowsOf(stats, 'exports')) found[`used.${String(row.name)}`] = numberOf(row, 'used_pages');
  for (const row of rowsOf(stats, 'lanes')) found['lanes.gc_ms'] = (found['lanes.gc_ms'] ?? 0) + numberOf(row, 'gc_ms');
  return found;
}
