/**
 * The stop of `zswapd serve`.
 *
 *   no new connections, verbs refused -> running requests and verbs finish -> drain to the images -> sync -> markers removed
 *   -> exit 0
 *
 * Connections have `stop.deadline` to end, then they are cut. Nothing else has a deadline: what was acknowledged goes to the
 * images for as long as they take it, progress is shown, and a service manager is told to wait while it moves.
 *
 * A second signal, or an image that does not take what it should, keeps the markers: exit 4, and the loss is stated. That
 * signal has to be a decision of its own. One stop arrives as several: the kernel sends SIGHUP to the group in front when a
 * terminal goes, and the shell sends it again; timeout(1) signals its child and then the group, service managers SIGTERM and
 * SIGHUP. So whatever comes within a second belongs to the same stop, and SIGHUP always does.
 */
import { countBits } from '../pool/bits.ts';
import { takenBuffers } from '../pool/buffers.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { C, sum } from '../shm/counters.ts';
import type { Config } from './config/schema.ts';
import type { Control } from './control.ts';
import { EXIT } from './exit_error.ts';
import { removeMarkers, type ServedImage } from './images.ts';
import type { Listeners } from './listeners.ts';
import type { Log } from './log.ts';
import type { ServiceManager } from './service_manager.ts';
import type { Signals } from './signals.ts';
import type { SwapControl } from './swap_control.ts';
import type { Threads } from './threads.ts';

/** A server that serves: what there is to stop. */
export interface Running {
  readonly config: Config;
  readonly log: Pick<Log, 'logger' | 'flush'>;
  readonly shared: Shared;
  readonly images: readonly ServedImage[];
  readonly threads: Threads;
  readonly listeners: Pick<Listeners, 'uris' | 'close'>;
  readonly control: Control | null;
  readonly swap: Pick<SwapControl, 'stop' | 'drain' | 'end' | 'verbs'>;
  readonly manager: Pick<ServiceManager, 'ready' | 'stopping' | 'moved' | 'status'>;
}

/** How often a wait of the stop is shown, and a service manager told. */
const SHOW_MS = 1000;

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
  let given = false;
  const abort = new Abort(log, abortAfterMs);
  const aborted = abort.by(signals).then(() => {
    given = true;
    return 'aborted' as const;
  });
  const shown = setInterval(watch(server), SHOW_MS);
  const code = await Promise.race([finish(server, () => given), aborted]);
  clearInterval(shown);
  abort.close();
  if (code !== 'aborted') return code;
  const pages = atStake(server.shared);
  log.logger.error({ pages }, `aborted by a second signal: the markers stay, up to ${pages} pages are lost`);
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

/** Pages that may be in memory alone: what is stored, and what has left the pool and is not on the image yet. */
function atStake({ counters, writebackBuffers }: Shared): number {
  return sum(counters, C.stored_pages) + takenBuffers(writebackBuffers);
}

/** Shows what is waited for, and asks a service manager for more time whenever the images have taken something. */
export function watch({ shared, threads, swap, log, manager, config }: Running): () => void {
  const started = performance.now();
  let before = -1;
  return () => {
    const connections = countConnections(threads);
    const { verbs } = swap;
    if (connections > 0 || verbs.length > 0) {
      log.logger.info({ connections, verbs }, 'stopping: waiting for connections and verbs to end');
      manager.status(`stopping: waiting for ${connections} connections, ${verbs.length} verbs`);
    }
    const moved = sum(shared.counters, C.image_writes) + sum(shared.counters, C.image_punches);
    if (moved !== before || performance.now() - started < config.stop.deadline) manager.moved();
    before = moved;
  };
}

function countConnections(threads: Threads): number {
  return threads.lanes.reduce((all, { connections }) => all + connections.reduce((a, b) => a + b, 0), 0);
}

/** `aborted`: whether somebody else has stated the loss by now, so that no marker may go any more. */
async function finish(server: Running, aborted: () => boolean): Promise<number> {
  const { log, threads, shared, config, swap } = server;
  server.listeners.close();
  await Promise.all([endConnections(server), swap.stop()]);
  swap.drain();
  const drained = threads.shrinker.next('drained');
  threads.shrinker.send({ type: 'drain' });
  const { failed, errno } = await drained;
  swap.end();
  const closed = threads.shrinker.next('closed');
  threads.shrinker.send({ type: 'close' });
  await closed;
  await server.control?.close();
  if (errno !== 0) {
    log.logger.error({ pages: failed, errno }, `drain failed: the markers stay, ${failed} pages are lost`);
    return EXIT.drainFailed;
  }
  // A lost slot reads EIO while we serve; an image can't say that, so it must not pass for what a client would have read.
  const lost = config.exports.reduce((pages, one, x) => pages + countBits(shared.lost, x, one.size / PAGE_SIZE), 0);
  if (lost > 0) {
    log.logger.error({ pages: lost }, `${lost} pages were lost to image errors: the markers stay`);
    return EXIT.drainFailed;
  }
  if (aborted()) return EXIT.drainFailed;
  const problem = removeMarkers(server.images);
  if (problem !== null) {
    log.logger.error(`drain failed: the markers stay: ${problem}`);
    return EXIT.drainFailed;
  }
  log.logger.info({ exports: config.exports.map((one) => one.name) }, 'stopped: the images hold everything');
  return EXIT.ok;
}

/** Running requests finish, new ones get ESHUTDOWN; who has not ended by the deadline is cut. */
async function endConnections({ threads: { lanes }, threads, config, log }: Running): Promise<void> {
  const stopped = lanes.map((lane) => lane.next('stopped'));
  for (const lane of lanes) lane.send({ type: 'stop' });
  const timer = setTimeout(() => {
    const connections = countConnections(threads);
    if (connections > 0) {
      log.logger.warn(
        { connections },
        `stop.deadline: connections that have not ended in ${config.stop.deadline} ms are cut`,
      );
    }
    for (const lane of lanes) lane.send({ type: 'cut' });
  }, config.stop.deadline);
  await Promise.all(stopped);
  clearTimeout(timer);
}
