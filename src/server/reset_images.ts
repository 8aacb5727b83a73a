/**
 * `onUnclean: reset` at a start: discards what stale images hold. It takes as long as the images do, so it comes when all of
 * them are held and none was refused, says how far it is, and ends when the server is told to stop.
 * Invariant: an image is stale, and its marker lies there, until all of it reads as zeros on the disk.
 */
import { fstatSync } from 'node:fs';
import { formatSize } from '../config/units.ts';
import { describeBlockDevice } from '../image/block_device.ts';
import { type DiscardPace, discardImage } from '../image/discard.ts';
import { ImageError } from '../image/error.ts';
import { NO_MARKER } from '../image/marker.ts';
import { markedBytes, removeUnwritten } from '../image/places.ts';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import { drainProblem, imageExit, type ServedImage } from './images.ts';
import type { ServiceManager } from './service_manager.ts';
import type { Signals } from './signals.ts';

/** Who hears how far a reset is, and who may end it. */
interface ResetWatch {
  readonly manager: Pick<ServiceManager, 'status' | 'moved'>;
  readonly signals: Pick<Signals, 'first'>;
  readonly info: (line: string) => void;
}

/** How often it is said how far a reset is. */
const SHOW_MS = 1000;

/**
 * Resets what is to begin without its content, and notes in `served` that it has. Throws ExitError; after a signal at once,
 * and the call to the image that is under way is the last one.
 */
export async function resetImages(served: ServedImage[], watch: ResetWatch): Promise<void> {
  let any = false;
  for (const [x, one] of served.entries()) {
    if (!one.reset) continue;
    try {
      await resetUnlessStopped(one, watch);
      await checkPlace(one);
    } catch (error) {
      refuse(x, error);
    }
    served[x] = { ...one, reset: false, before: NO_MARKER, touched: true };
    any = true;
  }
  // The others were held as long, and a lane would meet what is in their place.
  if (any) for (const [x, one] of served.entries()) await checkPlace(one).catch((error) => refuse(x, error));
}

function refuse(x: number, error: unknown): never {
  throw error instanceof ImageError ? imageExit(x, error) : error;
}

/** A reset takes long enough for somebody to move the image meanwhile. The marker is left to what is there now. */
async function checkPlace(one: ServedImage): Promise<void> {
  const problem = await drainProblem(one);
  if (problem === null) return;
  one.touched = false;
  const allowed = 'an image that nobody touches while the server starts';
  throw new ImageError('replaced', `${problem} while this start reset images, allowed: ${allowed}`);
}

async function resetUnlessStopped(one: ServedImage, { manager, signals, info }: ResetWatch): Promise<void> {
  const { path } = one.image;
  const ended = new AbortController();
  const bytes = staleBytes(one);
  let done = 0;
  let shown = 0;
  const timer = setInterval(() => {
    // A service manager waits as long as the image moves.
    if (done === shown) return;
    shown = done;
    const line = `resetting ${path}: ${formatSize(done)} of ${formatSize(bytes)}`;
    info(line);
    manager.status(line);
    manager.moved();
  }, SHOW_MS);
  const stopped = signals.first.then((signal) => {
    throw new ExitError(EXIT.staleImage, `${path}: is not reset, ${signal} came first: it is as stale as it was`);
  });
  try {
    await Promise.race([stopped, reset(one, bytes, { ended: ended.signal, moved: (at) => (done = at) })]);
  } finally {
    clearInterval(timer);
    ended.abort();
  }
}

/** The marker is still there when this fails, so the next start asks again. */
async function reset({ image, places }: ServedImage, bytes: number, pace: DiscardPace): Promise<void> {
  try {
    await discardImage({ ...image, bytes }, pace);
    removeUnwritten(places);
  } catch (error) {
    throw new ImageError('reset', `${image.path}: can't be reset: ${errorText(error)}`, { cause: error });
  }
}

/** An export on a block device may be smaller than the one that a marker tells of, and larger again one day. */
function staleBytes({ image, places }: ServedImage): number {
  if (!image.blockDevice) return image.bytes;
  const device = describeBlockDevice(fstatSync(image.fd).rdev).bytes;
  const served = markedBytes(places, image);
  if (served === 0 && image.bytes < device) {
    // What lies behind this export would be vouched for by its next clean stop, or it is nobody's of ours to discard.
    const whole = `an export of the whole device (${formatSize(device)}), which is discarded then`;
    const wrong = 'is stale, and its marker does not tell how much of it was an export';
    throw new ImageError('stale', `${image.path}: ${wrong}; allowed: ${whole}`);
  }
  return Math.max(image.bytes, Math.min(served, device));
}
