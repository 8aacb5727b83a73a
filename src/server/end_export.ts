/**
 * The end of one export at a stop. Each comes to its end by itself, so that an image that is slow, stalled or failing keeps
 * only what is its own from being saved:
 *
 *   its last client has gone, its verb has ended -> drain to its image -> sync -> nothing lost -> its marker removed
 */

import type { Config } from '../config/schema.ts';
import { errnoName } from '../os/errno.ts';
import { setCount } from '../pool/bits.ts';
import { THREAD_MAIN } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { attend } from '../shm/mailbox.ts';
import * as sync from '../shm/sync.ts';
import { syncFailed } from '../zswap/vouch.ts';
import { drainProblem, endMarker, type ServedImage } from './images.ts';
import type { Log } from './log.ts';
import type { SwapControl } from './swap_control.ts';
import type { Vouching } from './vouching.ts';
import { many, manyAre } from './wording.ts';

/** What it takes to end an export. */
export interface Ending {
  readonly config: Pick<Config, 'exports'>;
  readonly log: Pick<Log, 'logger'>;
  readonly shared: Shared;
  readonly images: readonly ServedImage[];
  readonly swap: Pick<SwapControl, 'verbEnded' | 'drain'>;
  readonly vouching: Pick<Vouching, 'giveUp'>;
}

/** How far a stop has come. */
export interface Stopping {
  /** Exports whose images hold everything: with their markers still to go, and with them gone. */
  readonly whole: Set<number>;
  readonly saved: Set<number>;
  /** The loss of the others has been stated, so that no further marker may go. */
  aborted: boolean;
}

/**
 * Resolves when export `x` is among those saved and its marker gone, or when it is logged why the marker stays. Called when
 * no lane lets clients in any more.
 */
export async function endExport(server: Ending, x: number, stopping: Stopping): Promise<void> {
  const { shared, swap, config, log, images, vouching } = server;
  const { name } = config.exports[x];
  await Promise.all([clientsEnded(server, x), swap.verbEnded(x)]);
  const { failed, errno } = await swap.drain(x);
  const problem = await drainProblem(images[x]);
  // A lost slot reads EIO while we serve; an image can't say that, so it must not pass for what a client would have read.
  const lost = setCount(shared.lost, x);
  const whole = failed === 0 && errno === 0 && lost === 0 && problem === null;
  // Else nobody may vouch for it any more, and the marker of a strict server would.
  const marker = whole ? null : await vouching.giveUp(x);
  // What was on the image alone has gone with it, and nobody knows how much that is.
  const also = problem === null ? '' : `; what the image had is not to be relied on: ${problem}`;
  // Whoever stated the loss has named this image as well.
  if (stopping.aborted) return;
  const pages = failed + lost;
  const error = errno === 0 ? {} : { error: errnoName(errno) };
  const fail = (text: string): void => log.logger.error({ export: name, pages, ...error }, text);
  if (failed > 0) fail(`drain of ${name} failed: ${marker}, ${manyAre(pages, 'page')} lost${also}`);
  // The image took every page that there still was, and can't say which of them it has kept.
  else if (errno !== 0 && (lost === 0 || syncFailed(shared, x))) {
    const before = lost === 0 ? '' : `, and ${manyAre(lost, 'page', 'was', 'were')} lost`;
    fail(`drain of ${name} failed: ${marker}: its last sync failed${before}${also}`);
  } else if (lost > 0) fail(`${many(lost, 'page')} of ${name} ${lost === 1 ? 'was' : 'were'} lost: ${marker}${also}`);
  else if (problem !== null) fail(`drain of ${name} failed: ${marker}: ${problem}`);
  else {
    // Who aborts from here on must not be told that these pages are lost.
    stopping.whole.add(x);
    const { left, note } = await endMarker(images[x]);
    if (left !== null) {
      log.logger.error({ export: name }, `drained ${name}: its image holds everything, but ${left}`);
      return;
    }
    if (note !== null) log.logger.warn({ export: name }, `${name}: ${note}`);
    stopping.saved.add(x);
    log.logger.info({ export: name }, `drained ${name}: its image holds everything`);
  }
}

/** A lane wakes this thread whenever a connection of a stop has ended, with nothing of it under way any more. */
function clientsEnded({ shared }: Ending, x: number): Promise<void> {
  return attend(
    shared.boxes,
    THREAD_MAIN,
    () => undefined,
    () => sync.load(shared.clients, x) === 0,
  );
}
