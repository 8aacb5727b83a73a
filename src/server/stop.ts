/**
 * The stop of `zswapd serve`.
 *
 *   no new connections, verbs refused -> running requests finish -> each export by itself comes to its end (end_export.ts:
 *   its clients and its verb end, drain to its image, sync, marker removed) -> exit 0
 *
 * Connections have `stop.deadline` to end, then they are cut. Nothing else has a deadline: what was acknowledged goes to the
 * images for as long as they take it, progress is shown, and a service manager is told to wait while it moves.
 *
 * A second signal, or an image that does not take what it should, keeps its marker: exit 4, and the loss is stated. That
 * signal has to be a decision of its own. One stop arrives as several: the kernel sends SIGHUP to the group in front when a
 * terminal goes, and the shell sends it again; timeout(1) signals its child and then the group, service managers SIGTERM and
 * SIGHUP. So whatever comes within a second belongs to the same stop, and SIGHUP always does.
 */

import type { Config } from '../config/schema.ts';
import type { Control } from '../control/control.ts';
import { IMAGE } from '../image/counters.ts';
import { EXIT, errorText } from '../os/exit_error.ts';
import { setCount } from '../pool/bits.ts';
import { takenBuffers } from '../pool/buffers.ts';
import { highWater, isLive } from '../pool/entries.ts';
import type { Shared } from '../pool/shared.ts';
import { sum } from '../shm/counters.ts';
import { type Ending, endExport, type Stopping } from './end_export.ts';
import type { Listeners } from './listeners.ts';
import type { Log } from './log.ts';
import type { ServedAgents } from './served_agents.ts';
import type { ServiceManager } from './service_manager.ts';
import type { Signals } from './signals.ts';
import type { SwapControl } from './swap_control.ts';
import type { Threads } from './threads.ts';
import { many, manyAre } from './wording.ts';

/** A server that serves: what there is to stop. */
export interface Running extends Ending {
  readonly config: Config;
  readonly log: Pick<Log, 'logger' | 'flush'>;
  readonly threads: Threads;
  readonly listeners: Pick<Listeners, 'uris' | 'close'>;
  readonly control: Control | null;
  readonly agents: Pick<ServedAgents, 'close'>;
  readonly swap: Pick<SwapControl, 'stop' | 'verbEnded' | 'drain' | 'verbs'>;
  readonly manager: Pick<ServiceManager, 'ready' | 'stopping' | 'moved' | 'status'>;
}

/** How often a wait of the stop is shown, and a service manager told. */
const SHOW_MS = 1000;

/** Of the deadline of connections. */
const DEADLINE_LOOKS = 10;

/** How long after the stop began a signal counts as one that somebody meant, in milliseconds. */
const ABORT_AFTER_MS = 1000;

/** Waits for a signal, then stops; resolves with the exit code. */
export async function stop(
  server: Running,
  signals: Pick<Signals, 'next'>,
  abortAfterMs = ABORT_AFTER_MS,
): Promise<number> {
  const { log, manager } = server;
  const signal = await signals.next();
  log.logger.info({ signal }, 'stopping: running requests finish, then the pool is drained to the images');
  manager.stopping('stopping: running requests finish');
  const stopping: Stopping = { whole: new Set(), saved: new Set(), aborted: false };
  const abort = new Abort(log, abortAfterMs);
  const aborted = abort.by(signals).then(() => {
    stopping.aborted = true;
    return stateLoss(server, stopping);
  });
  const shown = setInterval(watch(server), SHOW_MS);
  const code = await Promise.race([finish(server, stopping), aborted]);
  clearInterval(shown);
  abort.close();
  return code;
}

function stateLoss({ config, shared, log }: Running, { whole, saved }: Stopping): number {
  const namesOf = (wanted: (x: number) => boolean): string[] =>
    config.exports.filter((_, x) => wanted(x)).map((one) => one.name);
  const lost = namesOf((x) => !whole.has(x));
  const left = namesOf((x) => whole.has(x) && !saved.has(x));
  if (lost.length + left.length === 0) return EXIT.ok;
  const pages = lost.length === 0 ? 0 : atStake(shared, whole);
  const stated = [
    ...(lost.length === 0 ? [] : [`the markers of ${lost.join(', ')} stay, up to ${manyAre(pages, 'page')} lost`]),
    ...(left.length === 0 ? [] : [`the images of ${left.join(', ')} hold everything, and their markers may stay`]),
  ];
  log.logger.error({ exports: [...lost, ...left], pages }, `aborted by a second signal: ${stated.join('; ')}`);
  return EXIT.drainFailed;
}

/** Tells a signal that aborts the stop from those that belong to it. */
class Abort {
  private readonly log: Running['log'];
  private readonly timer: NodeJS.Timeout;
  private armed = false;
  private closed = false;

  constructor(log: Running['log'], afterMs: number) {
    this.log = log;
    // Timers come before signals in a turn of the loop, and signals before immediates: those that waited because the loop
    // was busy are seen unarmed.
    this.timer = setTimeout(() => setImmediate(() => this.arm()), afterMs);
  }

  async by(signals: Pick<Signals, 'next'>): Promise<void> {
    for (;;) {
      const signal = await signals.next();
      if (this.armed && signal !== 'SIGHUP') return;
      this.log.logger.info({ signal }, `${signal} as well: part of the same stop`);
    }
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private arm(): void {
    if (this.closed) return;
    this.armed = true;
    this.log.logger.info({}, 'a further SIGTERM or SIGINT aborts the drain: pages are lost then');
  }
}

/**
 * Pages that may be in memory alone: what is stored, and what has left the pool and is not on the image yet; and those that
 * are lost already.
 */
function atStake({ entries, writebackBuffers, lost, settings }: Shared, whole: ReadonlySet<number>): number {
  const end = highWater(entries);
  let pages = takenBuffers(writebackBuffers);
  for (const x of settings.exports.keys()) if (!whole.has(x)) pages += setCount(lost, x);
  for (let e = 1; e < end; e++) if (isLive(entries, e) && !whole.has(entries.volume[e])) pages++;
  return pages;
}

/** Shows what is waited for, and asks a service manager for more time whenever the images have taken something, not for tries. */
export function watch({ shared, threads, swap, log, manager, config }: Running): () => void {
  const started = performance.now();
  let before = -1;
  return () => {
    const connections = countConnections(threads);
    const { verbs } = swap;
    if (connections > 0 || verbs.length > 0) {
      log.logger.info({ connections, verbs }, 'stopping: waiting for connections and verbs to end');
      manager.status(`stopping: waiting for ${many(connections, 'connection')}, ${many(verbs.length, 'verb')}`);
    }
    const moved = sum(shared.counters, IMAGE.image_writes) + sum(shared.counters, IMAGE.image_punches);
    if (moved !== before || performance.now() - started < config.stop.deadline) manager.moved();
    before = moved;
  };
}

function countConnections(threads: Threads): number {
  return threads.lanes.reduce((all, { connections }) => all + connections, 0);
}

async function finish(server: Running, stopping: Stopping): Promise<number> {
  const { log, threads, config, swap } = server;
  const { lanes, shrinker } = threads;
  await closing(server, 'listen', () => server.listeners.close());
  swap.stop();
  // What agents would still say changes nothing that is kept.
  await closing(server, 'agents', () => server.agents.close());
  const began = lanes.map((lane) => lane.next('stopping'));
  const stopped = lanes.map((lane) => lane.next('stopped'));
  for (const lane of lanes) lane.send({ type: 'stop' });
  const cutter = afterLooks(config.stop.deadline, () => cut(server));
  // From here on the clients of an export only become fewer.
  await Promise.all(began);
  await Promise.all(config.exports.map((_, x) => endExport(server, x, stopping)));
  await Promise.all(stopped);
  clearInterval(cutter);
  const closed = shrinker.next('closed');
  shrinker.send({ type: 'close' });
  await closed;
  await closing(server, 'control', () => server.control?.close());
  if (stopping.saved.size < config.exports.length) return EXIT.drainFailed;
  log.logger.info({ exports: config.exports.map((one) => one.name) }, 'stopped: the images hold everything');
  return EXIT.ok;
}

/** No socket is worth what the pool holds: one that fails to close is told of, and the stop goes on. */
async function closing({ log }: Running, what: string, close: () => unknown): Promise<void> {
  try {
    await close();
  } catch (error) {
    log.logger.warn({ err: error }, `${what}: the close failed, ${errorText(error)}`);
  }
}

/**
 * Calls back after `ms` in which this process ran: a machine that was paused, or a process that was stopped, has one of the
 * looks in that time, and its clients have the others.
 */
function afterLooks(ms: number, call: () => void): NodeJS.Timeout {
  let looks = 0;
  const timer = setInterval(() => {
    if (++looks < DEADLINE_LOOKS) return;
    clearInterval(timer);
    call();
  }, ms / DEADLINE_LOOKS);
  return timer;
}

/** Running requests had until now to finish; who has not ended is cut. */
function cut({ threads, config, log }: Running): void {
  const connections = countConnections(threads);
  if (connections > 0) {
    log.logger.warn(
      { connections },
      `stop.deadline: connections that have not ended in ${config.stop.deadline} ms are cut`,
    );
  }
  for (const lane of threads.lanes) lane.send({ type: 'cut' });
}
