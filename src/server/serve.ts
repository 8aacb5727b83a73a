/**
 * `zswapd serve`: starts everything in the order that keeps data safe; stop.ts stops it the same way.
 *
 *   lock images, decide on markers -> discard what is to be reset -> shared memory -> threads ready -> markers written ->
 *   sockets -> ready lines
 */
import { isatty } from 'node:tty';
import { setFlagsFromString } from 'node:v8';
import { checkExports } from 'node-nbd-server/device';
import { breakWarning } from '../config/checks.ts';
import { makeStateFolder, removeStateFolder } from '../config/environment.ts';
import { loadPlan } from '../config/fault_plan.ts';
import { usableMemory } from '../config/memory.ts';
import { memoryWarning } from '../config/pool_checks.ts';
import { protocolWarning } from '../config/protocol_checks.ts';
import type { Config } from '../config/schema.ts';
import { cursorWarning } from '../config/shrinker_options.ts';
import type { Control } from '../control/control.ts';
import { kernelFiles } from '../control/fs/files.ts';
import type { FileTree } from '../control/fs/tree.ts';
import type { FaultsInForce } from '../faults/gate.ts';
import type { FaultPlan } from '../faults/rules.ts';
import { imagePages } from '../image/counted_image.ts';
import { openError } from '../image/lock.ts';
import { EXIT } from '../os/exit_error.ts';
import { foreignSockets } from '../os/inherited_sockets.ts';
import { NODE_LOOP } from '../os/loop.ts';
import { endProcess } from '../os/process.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { attachHelp } from './attach_help.ts';
import { BlockControl } from './block_control.ts';
import { imageBudget, poolTooSmall } from './budget.ts';
import { tellOf } from './care.ts';
import { FaultControl } from './fault_control.ts';
import {
  findUsers,
  imageExit,
  type MarkersWritten,
  openImages,
  type ServedImage,
  takeBack,
  writeMarkers,
} from './images.ts';
import { insistOnFlusher, lookAtThreads, type NoFlusher } from './io_flusher.ts';
import { LineWriter } from './line_writer.ts';
import { type Listeners, listen } from './listeners.ts';
import { createLog, type Log } from './log.ts';
import type { FromShrinker, ToShrinker } from './messages.ts';
import { openControl } from './open_control.ts';
import { FLUSH_DEADLINE_MS, openWithoutBlocking, STDERR, STDOUT } from './output.ts';
import { createPlaces } from './places.ts';
import { careForOom } from './process_care.ts';
import { resetImages } from './reset_images.ts';
import { ServedAgents } from './served_agents.ts';
import { ServedMemcgs } from './served_memcgs.ts';
import { ServiceManager, watchdogMs } from './service_manager.ts';
import { reserveAll, threadSettings } from './settings.ts';
import { ShrinkerAsks } from './shrinker_asks.ts';
import { closeInspector, Signals } from './signals.ts';
import { type Running, stop } from './stop.ts';
import { type Supervision, supervision } from './supervision.ts';
import { SwapControl } from './swap_control.ts';
import { mismatchLog, shrinkerLog } from './thread_notes.ts';
import { checkThreadRoom } from './thread_room.ts';
import { beginThread } from './thread_start.ts';
import { startThreads, type Threads } from './threads.ts';
import { LiveTunables } from './tunables.ts';
import { Vouching } from './vouching.ts';

/**
 * Serves until a signal, and ends the process. `notFlusher`: why the threads are no I/O flushers, if so. `notes`: what to say
 * of the config.
 */
export async function serve(config: Config, notFlusher: NoFlusher | null, notes: readonly string[]): Promise<never> {
  const signals = new Signals();
  await closeInspector();
  const log = createLog(config.log.level);
  // Nobody would start this one again, nor close the sockets that its clients wait at.
  const supervisor = supervision(process.env, () => signals.raise('SIGHUP'));
  if (signals.ignored.length > 0) {
    log.logger.info(`${signals.ignored.join(' and ')} is ignored, as it was by who started this server`);
  }
  for (const note of notes) log.logger.warn(note);
  const server = await start(config, notFlusher, log, signals, supervisor).catch(async (error) => {
    await log.flush();
    throw error;
  });
  const ready = new LineWriter(openWithoutBlocking(STDOUT), null);
  for (const uri of server.listeners.uris) ready.write(`ready ${uri}\n`);
  void ready.idle().then(() => {
    // Whoever waits for one waits for ever, and may look here.
    if (ready.dropped > 0) log.logger.warn('the ready lines could not be written to stdout');
    if (isatty(STDERR)) log.print(attachHelp(server.listeners.uris, { supervised: supervisor !== null }));
  });
  const names = config.exports.map((one) => one.name).join(', ');
  server.manager.ready(`serving ${names}`);
  const code = await stop(server, signals);
  // In this order: what is printed behind the ready lines is handed to the log once they are out.
  await ready.flush(FLUSH_DEADLINE_MS);
  await log.flush();
  endProcess(code);
}

async function start(
  config: Config,
  notFlusher: NoFlusher | null,
  log: Log,
  signals: Signals,
  supervisor: Supervision | null,
): Promise<Running> {
  insistOnFlusher(config.process, notFlusher);
  const warn = (line: string): void => log.logger.warn(line);
  const notes = [protocolWarning(config), cursorWarning(config), breakWarning(config)];
  notes.push(foreignSockets(process.env), memoryWarning(config));
  for (const line of notes) if (line !== null) warn(line);
  const made = makeStateFolder(config);
  const manager = new ServiceManager(process.env.NOTIFY_SOCKET, warn, supervisor);
  let images: ServedImage[] = [];
  try {
    const plan = config.faults === null ? null : loadPlan(config.faults, config);
    images = openImages(config, warn);
    await resetImages(images, { manager, signals, info: (line) => log.logger.info(line) });
    return await startWith(images, config, notFlusher, log, manager, plan);
  } catch (error) {
    takeBack(images, error);
    if (made) removeStateFolder();
    throw error;
  }
}

async function startWith(
  images: readonly ServedImage[],
  config: Config,
  notFlusher: NoFlusher | null,
  log: Log,
  manager: ServiceManager,
  plan: FaultPlan | null,
): Promise<Running> {
  const warn = (line: string): void => log.logger.warn(line);
  const { lanes, exports } = config;
  const beside = { scrub: config.pool.scrub > 0, strict: config.durability === 'strict' };
  const budget = imageBudget(lanes, exports.length, process.env, beside);
  const settings = threadSettings(
    config,
    images.map(({ image }) => image),
    budget,
  );
  checkExports(settings.exports);
  const { cells, shared, traffic, careOfMemory } = reserveAll(config);
  await checkThreadRoom(config.lanes);
  findUsers(images, shared);
  beginThread({ thread: THREAD_MAIN, shared, settings });
  // A young generation that starts at 4 MiB instead of 1: four times fewer collections of the views made per page. Must
  // be set before the threads are made.
  setFlagsFromString('--min-semi-space-size=4');
  const defects = defectsOfStart();
  const { failed } = defects;
  manager.watchdog(watchdogMs(process.env, process.pid, warn));
  const served = makeServed(shared, config, images, warn, (message) => threads.shrinker.send(message));
  const tellMismatch = mismatchLog(config, shared, log);
  const note = shrinkerLog(config, log, manager, tellMismatch);
  if (budget.stalled < exports.length - 1) warn(poolTooSmall(budget, lanes, exports.length, beside));
  const places = createPlaces(config.listen.maxConnections, config.exports.length);
  let listeners: Listeners | null = null;
  const starting = startThreads({
    data: { shared, places, settings, cells, traffic },
    onFault: (error) => defects.found(error),
    onLane: (message) => (message.type === 'mismatch' ? tellMismatch(message) : listeners?.heard(message)),
    onShrinker: (message) => {
      note(message);
      served.heard(message);
    },
  });
  const threads = await Promise.race([starting, failed]).catch(notOpened(images));
  // All sockets come before the markers, so that one in use changes nothing; clients are let in after them.
  listeners = await listen({ config, lanes: threads.lanes, places, onError: warn });
  let control: Control | null = null;
  try {
    const files = filesOf(config, { cells, shared, traffic }, served, log);
    const care = [...careOfMemory, careForOom(config.process), lookAtThreads(notFlusher)];
    await Promise.race([failed, served.agents.listen((error) => log.logger.error({ err: error }, 'agents'))]);
    const onFault = (error: Error): void => void stopOnFault(log, error);
    const faults = faultControl(config, shared, threads, log);
    const parts = { ...served, care, files, faults, log, onFault, supervision: manager.supervision };
    control = await Promise.race([failed, openControl(config, shared, parts)]);
    if (plan !== null) faults.apply(plan);
    listeners.admit(mark(images, config, log, served.vouching));
    defects.found = onFault;
    tellOf(care, log.logger);
    return { config, log, shared, images, threads, listeners, control, manager, ...served };
  } catch (error) {
    listeners.close();
    served.close();
    await Promise.all([control?.close(), served.agents.close()]);
    throw error;
  }
}

/** What `zswapd ctl` reads and writes. */
function filesOf(
  config: Config,
  { cells, shared, traffic }: Pick<ReturnType<typeof reserveAll>, 'cells' | 'shared' | 'traffic'>,
  served: ReturnType<typeof makeServed>,
  log: Log,
): FileTree {
  return kernelFiles({
    shared,
    memcgs: served.memcgs.tree,
    reclaim: served.memcgs.reclaim,
    config,
    tunables: new LiveTunables(cells, config.pool.acceptThresholdPercent),
    usableMemory: usableMemory(),
    imagePages: (x) => imagePages(traffic, x),
    blocks: served.blocks,
    changed: (change) => log.logger.info(change, 'a file was changed (zswapd ctl)'),
  });
}

function faultControl(config: Config, shared: Shared, { lanes, shrinker }: Threads, log: Log): FaultControl {
  const send = (faults: FaultsInForce | null): void => {
    for (const role of [shrinker, ...lanes]) role.send({ type: 'faults', faults });
  };
  return new FaultControl({ config, shared, log, send });
}

function mark(
  images: readonly ServedImage[],
  { durability }: Config,
  { logger }: Log,
  vouching: Vouching,
): MarkersWritten {
  const written = writeMarkers(images, durability);
  vouching.begin(written.infos);
  if (written.notNoted !== null) logger.warn(written.notNoted);
  for (const { image } of images) if (image.created) logger.info(`image ${image.path} was not there: made, empty`);
  return written;
}

/** What the main thread has behind its control socket. Each asks the shrinker's thread, whose answers have to be heard. */
function makeServed(
  shared: Shared,
  config: Config,
  images: readonly ServedImage[],
  warn: (line: string) => void,
  send: (message: ToShrinker) => void,
) {
  const vouching = new Vouching(shared, images, (x, text) => warn(`${config.exports[x].name}: ${text}`));
  const swap = new SwapControl(shared, config, send);
  const asks = new ShrinkerAsks(send);
  const memcgs = new ServedMemcgs(shared, NODE_LOOP, asks);
  const blocks = new BlockControl(shared, NODE_LOOP, asks);
  const agents = new ServedAgents(shared, config, memcgs.tree, send, warn);
  return {
    ...{ swap, memcgs, blocks, agents, vouching },
    close(): void {
      memcgs.close();
      blocks.close();
    },
    heard(message: FromShrinker): void {
      if (message.type === 'reclaimed' || message.type === 'wroteBack') asks.answered(message);
      if (message.type === 'vouch') {
        const { x } = message;
        void vouching.settle(x).then((errno) => send({ type: 'vouched', x, errno }));
      }
      if (message.type === 'applied') agents.answered(message);
      if (message.type === 'copied' || message.type === 'punched' || message.type === 'drained') swap.answered(message);
    },
  };
}

/** A file system may fail, and become read-only, between the main thread's look at an image and those of the other threads. */
function notOpened(images: readonly ServedImage[]): (error: Error) => never {
  return (error) => {
    const cause = error.cause instanceof Error ? error.cause : error;
    const x = images.findIndex(({ image }) => 'path' in cause && cause.path === image.path);
    throw x < 0 ? error : imageExit(x, openError(images[x].image.path, cause));
  };
}

/** Until everything runs, a fault fails the start, which takes back what it made; later ones stop the process. */
function defectsOfStart(): { found: (error: Error) => void; readonly failed: Promise<never> } {
  let found: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    found = reject;
  });
  failed.catch(() => undefined);
  return { found, failed };
}

/** A fault of ours: nothing is repaired and nothing guessed, the marker stays. */
async function stopOnFault(log: Log, error: Error): Promise<never> {
  log.logger.fatal(error.message);
  await log.flush();
  endProcess(EXIT.internal);
}
