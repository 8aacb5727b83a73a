/**
 * Runs the repetitions. Each repetition visits every server in turn: it starts empty, is filled, does every workload and is
 * stopped, so at any time one server exists and is loaded. The order turns by one place per repetition, so that a machine that
 * slows down over the minutes does not slow down the same row each time.
 */
import { join } from 'node:path';
import { fill, fillMixed, load, type Measured, type Workload } from './fio.ts';
import { cpuSeconds, machineCpuSeconds, ownCpuSeconds } from './procfs.ts';
import type { Holding, RunningServer, ServerKind, StartContext } from './server.ts';

export interface Sample extends Measured {
  readonly repetition: number;
  readonly cpuSecondsPerGb: number;
  readonly holding: Holding;
  /** Processors kept busy by neither fio nor the server: other programs, and kernel threads at work for the server. */
  readonly otherCores: number;
  /** The largest share of the run that one thread spent in the garbage collector. */
  readonly gcShare?: number;
  /** For writes: the share of the bytes that had reached the device below when the run ended. */
  readonly shareBelow?: number;
}

export interface Problem {
  readonly server: string;
  readonly reason: string;
}

export interface Collected {
  /** By server, then by workload. */
  readonly samples: Map<string, Map<string, Sample[]>>;
  /** What each server held when it had been filled and not yet loaded. */
  readonly filled: Map<string, Holding[]>;
  readonly filledMixed: Map<string, Holding>;
  readonly failed: Problem[];
}

interface Plan {
  readonly context: StartContext;
  readonly servers: readonly ServerKind[];
  readonly workloads: readonly Workload[];
  readonly repeat: number;
  readonly seconds: number;
  readonly progress: (line: string) => void;
  /** No further server is started once it is aborted. */
  readonly signal: AbortSignal;
}

/** Rows whose allocators are compared also store pages of mixed sizes, because one size says little about size classes. */
const MIXED = ['ours', 'zram'];

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function gcShare(before: Holding, after: Holding, seconds: number): number | undefined {
  if (before.gcMs === undefined || after.gcMs === undefined || after.gcMs.length === 0) return undefined;
  return Math.max(...after.gcMs.map((ms, i) => (ms - (before.gcMs?.[i] ?? 0)) / (seconds * 1000)));
}

async function measure(plan: Plan, server: RunningServer, work: Workload, repetition: number, before: Holding) {
  const { bytes, folder } = plan.context;
  const cpuBefore = cpuSeconds(server.pid);
  const restBefore = machineCpuSeconds() - ownCpuSeconds();
  const startedAt = performance.now();
  const seed = 1000 * (repetition + 1) + plan.workloads.indexOf(work);
  const measured = await load(server.uri, work, {
    bytes,
    seconds: plan.seconds,
    seed,
    output: join(folder, 'fio.json'),
  });
  const cpu = cpuSeconds(server.pid) - cpuBefore;
  const others = machineCpuSeconds() - ownCpuSeconds() - restBefore - cpu;
  const otherCores = Math.max(0, (others * 1000) / (performance.now() - startedAt));
  const holding = await server.holding();
  const gc = gcShare(before, holding, measured.seconds);
  const writes = work.mode === 'write' || work.mode === 'randwrite';
  const below = writes && holding.bytesBelow !== undefined ? holding.bytesBelow - (before.bytesBelow ?? 0) : undefined;
  const sample: Sample = {
    ...measured,
    repetition,
    cpuSecondsPerGb: cpu / (measured.bytes / 1e9),
    holding,
    otherCores,
    ...(gc === undefined ? {} : { gcShare: gc }),
    ...(below === undefined ? {} : { shareBelow: below / measured.bytes }),
  };
  return sample;
}

async function visit(plan: Plan, kind: ServerKind, repetition: number, into: Collected): Promise<void> {
  const server = await kind.start(plan.context);
  try {
    await fill(server.uri, plan.context.bytes, join(plan.context.folder, 'fio.json'));
    let holding = await server.holding();
    append(into.filled, kind.name, holding);
    for (const work of plan.workloads) {
      const sample = await measure(plan, server, work, repetition, holding);
      holding = sample.holding;
      const byWorkload = into.samples.get(kind.name) ?? new Map<string, Sample[]>();
      into.samples.set(kind.name, byWorkload);
      append(byWorkload, work.name, sample);
      plan.progress(`${repetition + 1}/${plan.repeat} ${kind.title}: ${work.title}: ${Math.round(sample.iops)} IOPS`);
    }
  } finally {
    await server.stop();
  }
}

async function visitMixed(plan: Plan, kind: ServerKind, into: Collected): Promise<void> {
  const server = await kind.start(plan.context);
  try {
    await fillMixed(server.uri, plan.context.bytes, join(plan.context.folder, 'fio.json'));
    into.filledMixed.set(kind.name, await server.holding());
  } finally {
    await server.stop();
  }
}

export async function collect(plan: Plan): Promise<Collected> {
  const collected: Collected = { samples: new Map(), filled: new Map(), filledMixed: new Map(), failed: [] };
  const broken = new Set<string>();
  // A server that failed once keeps what it measured, and is left alone from then on.
  const attempt = async (kind: ServerKind, action: () => Promise<void>): Promise<void> => {
    if (broken.has(kind.name) || plan.signal.aborted) return;
    try {
      await action();
    } catch (error) {
      if (plan.signal.aborted) return;
      broken.add(kind.name);
      collected.failed.push({ server: kind.name, reason: (error as Error).message });
      plan.progress(`${kind.title} failed: ${(error as Error).message}`);
    }
  };
  for (let repetition = 0; repetition < plan.repeat; repetition++) {
    for (let i = 0; i < plan.servers.length; i++) {
      const kind = plan.servers[(i + repetition) % plan.servers.length]!;
      await attempt(kind, () => visit(plan, kind, repetition, collected));
    }
  }
  for (const kind of plan.servers.filter((server) => MIXED.includes(server.name))) {
    await attempt(kind, () => visitMixed(plan, kind, collected));
  }
  return collected;
}
