/**
 * `zswapd serve`: starts everything in the order that keeps data safe, and stops it the same way.
 *
 *   start   lock images, decide on markers -> shared memory -> threads ready -> markers written -> sockets -> ready lines
 *   stop    no new connections -> running requests finish -> drain to the images -> sync -> markers removed -> exit 0
 *
 * A second signal, or an image that does not take what it should, keeps the marker: exit 4, and the loss is stated.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { checkExports } from 'node-nbd-server';
import { setIoFlusher } from '../os/syscalls.ts';
import { countBits } from '../pool/bits.ts';
import { freeBuffers } from '../pool/buffers.ts';
import { PAGE_SIZE, THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { C, sum } from '../shm/counters.ts';
import { enterThread, setDelays } from '../shm/sync.ts';
import { attachHelp } from './attach_help.ts';
import { imageBudget } from './budget.ts';
import { makeStateFolder, removeStateFolder } from './config/environment.ts';
import { REPOSITORY } from './config/fields.ts';
import { protocolWarning } from './config/protocol_checks.ts';
import type { Config } from './config/schema.ts';
import { type Control, ControlError, startControl } from './control.ts';
import { EXIT } from './exit_error.ts';
import { findUsers, openImages, removeMarkers, type ServedImage, takeBack, writeMarkers } from './images.ts';
import { foreignSockets } from './inherited_sockets.ts';
import { type Listeners, listen } from './listeners.ts';
import { createLog, type Log } from './log.ts';
import type { FromShrinker } from './messages.ts';
import { poolCheck } from './pool_check.ts';
import { exportInfos, reserveShared } from './settings.ts';
import { statsReport } from './stats_report.ts';
import { SwapControl } from './swap_control.ts';
import { nameThreads } from './thread_names.ts';
import { startThreads, type Threads } from './threads.ts';

interface Server {
  readonly config: Config;
  readonly log: Log;
  readonly shared: Shared;
  readonly images: readonly ServedImage[];
  readonly threads: Threads;
  readonly listeners: Listeners;
  readonly control: Control | null;
}

/** Serves until a signal; resolves with the exit code. */
export async function serve(config: Config): Promise<number> {
  const log = createLog(config.log.level);
  const signals = new Signals();
  const server = await start(config, log);
  for (const uri of server.listeners.uris) process.stdout.write(`ready ${uri}\n`);
  if (process.stderr.isTTY) process.stderr.write(attachHelp(server.listeners.uris));
  const signal = await signals.next();
  log.logger.info({ signal }, 'stopping: running requests finish, then the pool is drained to the images');
  const code = await stop(server, signals);
  await log.flush();
  process.exit(code);
}

async function start(config: Config, log: Log): Promise<Server> {
  const warn = (line: string): void => log.logger.warn(line);
  for (const line of [protocolWarning(config), foreignSockets(process.env)]) if (line !== null) warn(line);
  const made = makeStateFolder(config);
  let images: readonly ServedImage[] = [];
  try {
    images = openImages(config, warn);
    return await startWith(images, config, log, warn);
  } catch (error) {
    takeBack(images);
    if (made) removeStateFolder();
    throw error;
  }
}

async function startWith(
  images: readonly ServedImage[],
  config: Config,
  log: Log,
  warn: (line: string) => void,
): Promise<Server> {
  const exports = exportInfos(config);
  checkExports(exports);
  const shared = reserveShared(config);
  findUsers(images, shared);
  enterThread(THREAD_MAIN + 1, (report) => {
    throw new Error(nameThreads(report));
  });
  setDelays(config.debug.delay);
  // A young generation that starts at 4 MiB instead of 1: four times fewer collections of the views made per page. Must
  // be set before the threads are made.
  setFlagsFromString('--min-semi-space-size=4');
  // Until everything runs, a fault fails the start, which takes back what it made; later ones stop the process.
  let fault: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fault = reject;
  });
  failed.catch(() => undefined);
  const budget = imageBudget(config.lanes, config.exports.length, process.env);
  const starting = startThreads({
    base: {
      shared,
      protocols: config.protocol,
      exports,
      images: images.map(({ image: { path, bytes, direct, blockDevice, identity } }) => {
        return { path, bytes, direct, blockDevice, identity };
      }),
      delays: config.debug.delay,
    },
    lanes: config.lanes,
    lane: { readsMax: budget.reads, handshakeTimeoutMs: config.listen.handshakeTimeout },
    shrinker: {
      batch: config.shrinker.batch,
      runPages: config.shrinker.runPages,
      writesMax: budget.writes,
      syncEvery: config.image.syncEvery,
    },
    onFault: (error) => fault(error),
    onShrinker: imageErrorLog(config, log),
  });
  const threads = await Promise.race([starting, failed]);
  // All sockets come before the markers, so that one in use changes nothing; clients are let in after them.
  const listeners = await listen({ config, lanes: threads.lanes, onError: warn });
  let control: Control | null = null;
  try {
    control = await Promise.race([failed, openControl(config, shared, threads, log)]);
    writeMarkers(images, config.durability);
    fault = (error) => void stopOnFault(log, error);
    const flusher = setIoFlusher();
    if (flusher < 0) log.logger.debug({ errno: -flusher }, 'PR_SET_IO_FLUSHER is not permitted here');
    listeners.admit();
    return { config, log, shared, images, threads, listeners, control };
  } catch (error) {
    listeners.close();
    await control?.close();
    throw error;
  }
}

async function openControl(config: Config, shared: Shared, threads: Threads, log: Log): Promise<Control | null> {
  if (config.control.listen === null) return null;
  const { version } = JSON.parse(readFileSync(resolve(REPOSITORY, 'package.json'), 'utf8'));
  const started = performance.now();
  const swap = new SwapControl(shared, config, threads.shrinker);
  return startControl({
    listen: config.control.listen,
    stats: () => statsReport(shared, config, version, started, log.dropped()),
    check: () => poolCheck(shared),
    swapoff: (name, flags) =>
      swap.swapoff(name, flags).catch((error: Error) => {
        // A defect found by swapoff is one of the process, as in any other thread.
        if (!(error instanceof ControlError)) void stopOnFault(log, error);
        throw error;
      }),
    swapon: (name) => swap.swapon(name),
    onError: (error) => log.logger.error({ err: error }, 'control'),
  });
}

/** One line per image and kind of failure; the counters have the rest. */
function imageErrorLog(config: Config, log: Log): (message: FromShrinker) => void {
  const seen = new Set<string>();
  return (message) => {
    if (message.type === 'progress') {
      const { x, done, total } = message;
      log.logger.info({ export: config.exports[x].name, done, total }, 'draining');
    }
    if (message.type !== 'imageError') return;
    const { x, what, errno } = message;
    const key = `${x} ${what} ${errno}`;
    if (seen.has(key)) return;
    seen.add(key);
    const { image, name } = config.exports[x];
    log.logger.error({ export: name, image, what, errno }, 'image operation failed; counted from here on');
  };
}

/** A fault of ours: nothing is repaired and nothing guessed, the marker stays. */
async function stopOnFault(log: Log, error: Error): Promise<void> {
  log.logger.fatal(error.message);
  await log.flush();
  process.exit(EXIT.internal);
}

async function stop(server: Server, signals: Signals): Promise<number> {
  const { log } = server;
  let given = false;
  const aborted = signals.next().then(() => {
    given = true;
    return 'aborted' as const;
  });
  const code = await Promise.race([drain(server, () => given), aborted]);
  if (code !== 'aborted') return code;
  const { counters, writebackBuffers, settings } = server.shared;
  // What is stored, and what has left the pool and is not on the image yet.
  const pages = sum(counters, C.stored_pages) + settings.buffers - freeBuffers(writebackBuffers);
  log.logger.error({ pages }, `aborted by a second signal: the markers stay, up to ${pages} pages are lost`);
  return EXIT.drainFailed;
}

/** `aborted`: whether somebody else has stated the loss by now, so that no marker may go any more. */
async function drain(server: Server, aborted: () => boolean): Promise<number> {
  const { log, threads, shared, config } = server;
  server.listeners.close();
  const stopped = threads.lanes.map((lane) => lane.next('stopped'));
  for (const lane of threads.lanes) lane.send({ type: 'stop' });
  await Promise.all(stopped);
  const drained = threads.shrinker.next('drained');
  threads.shrinker.send({ type: 'drain' });
  const { failed, errno } = await drained;
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

/** SIGTERM, SIGINT and SIGHUP, one after the other; kept when nobody waits yet. */
class Signals {
  private readonly arrived: string[] = [];
  private readonly waiting: ((signal: string) => void)[] = [];

  constructor() {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(name, () => {
        const resolve = this.waiting.shift();
        if (resolve !== undefined) resolve(name);
        else this.arrived.push(name);
      });
    }
  }

  next(): Promise<string> {
    const signal = this.arrived.shift();
    if (signal !== undefined) return Promise.resolve(signal);
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
