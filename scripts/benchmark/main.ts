/**
 * The side-by-side benchmark: every server (or every safe combination of protocols, or one server at every scale) in one run, on
 * one machine, under one load. Exit code 0 also when a floor is missed, because a figure is not a verdict; 1 when a server broke
 * while it was measured; 2 for a wrong command line or no fio.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { capture, endAll } from '../support/child.ts';
import { collect, type Problem } from './collect.ts';
import { WORKLOADS } from './fio.ts';
import { describeMachine, machineLine } from './machine.ts';
import { type Options, parseOptions, USAGE, UsageError } from './options.ts';
import { OURS } from './ours.ts';
import { PEERS, removeTmpfsFiles } from './peers.ts';
import { POINTS } from './pointless.ts';
import { renderProtocols } from './protocol_table.ts';
import { measureProtocols } from './protocols.ts';
import { makeReport } from './report.ts';
import { measureScale, takeCorpus } from './scale/run.ts';
import { renderScale } from './scale/table.ts';
import type { ServerKind, StartContext } from './server.ts';
import { renderReport } from './table.ts';
import { leaveZram } from './zram.ts';

const SERVERS: readonly ServerKind[] = [...OURS, ...PEERS];
/** Where scheduling points would be felt most: the shortest requests, with the server never waiting for them. */
const POINTS_WORKLOADS = ['randwrite-4k-qd16', 'randread-4k-qd16'];
const progress = (line: string): void => void process.stderr.write(`${line}\n`);

/** Of servers and of workloads alike: all of them, unless some were named. */
function kept<T extends { name: string }>(all: readonly T[], only: readonly string[]): readonly T[] {
  const named = all.filter((item) => only.includes(item.name));
  return named.length === 0 ? all : named;
}

async function splitByAvailability(servers: readonly ServerKind[], context: StartContext) {
  const present: ServerKind[] = [];
  const skipped: Problem[] = [];
  for (const kind of servers) {
    const reason = await kind.unavailable(context);
    if (reason === undefined) present.push(kind);
    else skipped.push({ server: kind.name, reason });
  }
  for (const problem of skipped) progress(`skipped ${problem.server}: ${problem.reason}`);
  return { present, skipped };
}

async function leave(folder: string): Promise<void> {
  await endAll();
  removeTmpfsFiles();
  leaveZram();
  rmSync(folder, { recursive: true, force: true });
}

async function compareServers(options: Options, context: StartContext, signal: AbortSignal): Promise<number> {
  const points = options.what === 'points';
  const { present, skipped } = await splitByAvailability(points ? POINTS : kept(SERVERS, options.only), context);
  const workloads = kept(WORKLOADS, points ? POINTS_WORKLOADS : options.only);
  const machine = await describeMachine();
  const { repeat, seconds } = options;
  const collected = await collect({ context, servers: present, workloads, repeat, seconds, progress, signal });
  if (signal.aborted) return 130;
  const facts = { machine, repeat, seconds, deviceBytes: options.bytes, skipped };
  const report = makeReport(collected, present, workloads, facts);
  process.stdout.write(`${options.json ? JSON.stringify(report, null, 2) : renderReport(report)}\n`);
  return report.failed.length === 0 ? 0 : 1;
}

async function compareProtocols(options: Options, context: StartContext, signal: AbortSignal): Promise<number> {
  const { repeat, seconds } = options;
  const machine = machineLine(await describeMachine());
  const report = await measureProtocols({ context, repeat, seconds, progress, signal }, machine);
  if (report === undefined) return 130;
  process.stdout.write(`${options.json ? JSON.stringify(report, null, 2) : renderProtocols(report)}\n`);
  return 0;
}

async function compareScale(options: Options, context: StartContext, signal: AbortSignal): Promise<number> {
  if (options.takeCorpus !== undefined) {
    await takeCorpus(options.takeCorpus, context, progress);
    return 0;
  }
  const report = await measureScale(options, context, progress, signal);
  if (report === undefined) return 130;
  process.stdout.write(`${options.json ? JSON.stringify(report, null, 2) : renderScale(report)}\n`);
  return 0;
}

const RUNS = { servers: compareServers, points: compareServers, protocols: compareProtocols, scale: compareScale };

async function main(): Promise<number> {
  const known = [...SERVERS, ...WORKLOADS].map((item) => item.name);
  const options = parseOptions(process.argv.slice(2), known);
  if (options === undefined) {
    process.stdout.write(`${USAGE}\n  names: ${known.join(', ')}\n`);
    return 0;
  }
  if ((await capture('fio', '--enghelp=nbd')) === undefined) throw new UsageError('fio with its nbd engine is missing');
  // Compiled, this file is dist/scripts/benchmark/main.js.
  const root = resolve(import.meta.dirname, '../../..');
  const folder = join(root, 'var/bench', String(process.pid));
  if (join(folder, 'control.sock').length > 107) throw new UsageError(`${folder} is too long for the path of a socket`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      interrupt.abort();
      void leave(folder).finally(() => process.exit(130));
    });
  }
  try {
    return await RUNS[options.what](options, { root, folder, bytes: options.bytes }, interrupt.signal);
  } finally {
    await leave(folder);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof UsageError ? error.message : (error as Error).stack}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
