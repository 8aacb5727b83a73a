/**
 * Images and their markers, at start and at the end. Invariant: while a server may hold bytes that an image does not have,
 * the marker lies beside that image, written and synced before any client gets in.
 */
import { closeSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs';
import { setRange } from '../pool/bits.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { describeBlockDevice } from '../zswap/block_device.ts';
import { discardImage } from '../zswap/image_discard.ts';
import { dataExtents, ImageError, type PreparedImage, prepareImage } from '../zswap/image_file.ts';
import { imageProblem } from '../zswap/image_problem.ts';
import {
  type FoundMarker,
  findMarker,
  type MarkerState,
  markerPath,
  NO_MARKER,
  newMarker,
  putBackMarker,
  removeMarkerLater,
  writeMarker,
} from '../zswap/marker.ts';
import { noteHeader } from '../zswap/swap_header.ts';
import { decideStart } from '../zswap/unclean.ts';
import { STATE_FOLDER } from './config/environment.ts';
import type { Config } from './config/schema.ts';
import { EXIT, ExitError, errorText } from './exit_error.ts';
import { programLine } from './program.ts';

/** What writeMarkers has put on the disk. The door asks to be shown it, so that it can't be opened before. */
export interface MarkersWritten {
  readonly markers: readonly string[];
}

export interface ServedImage {
  readonly image: PreparedImage;
  readonly marker: string;
  /** The marker of before this start, of an image that is served all the same. None once this start has reset it. */
  readonly before: FoundMarker;
}

/** Locks every image and decides what a marker means; throws ExitError before anything but an image file was created. */
export function openImages(config: Config, warn: (line: string) => void): ServedImage[] {
  const served: ServedImage[] = [];
  for (const [x, one] of config.exports.entries()) {
    try {
      const image = prepareImage({ path: one.image, bytes: one.size, direct: config.image.direct });
      const marker = markerPath(image, STATE_FOLDER);
      const before = findMarker(marker);
      // From here on a start that fails knows what to take back.
      served.push({ image, marker, before });
      const start = decideStart({
        marker: before.state,
        onUnclean: one.onUnclean,
        path: image.path,
        exportIndex: x,
        resetLine: (path) => programLine('image', 'reset', path),
        warn,
      });
      if (start === 'reset') {
        reset(image, before.state);
        served[x] = { image, marker, before: NO_MARKER };
      }
    } catch (error) {
      const why = error instanceof ImageError ? imageExit(x, error) : error;
      takeBack(served, why);
      throw why;
    }
  }
  return served;
}

function imageExit(x: number, error: ImageError): ExitError {
  const code = error.kind === 'stale' ? EXIT.staleImage : EXIT.usage;
  return new ExitError(code, `exports[${x}].image: ${error.message}`, { cause: error });
}

/** The marker is still there when this fails, so the next start asks again. */
function reset(image: PreparedImage, marker: MarkerState): void {
  try {
    discardImage({ ...image, bytes: staleBytes(image, marker) });
  } catch (error) {
    throw new ImageError('reset', `${image.path}: can't be reset: ${errorText(error)}`, { cause: error });
  }
}

/** An export on a block device may be smaller than the one that the marker tells of, and larger again one day. */
function staleBytes(image: PreparedImage, marker: MarkerState): number {
  if (!image.blockDevice || marker === null || marker === 'unreadable') return image.bytes;
  const device = describeBlockDevice(fstatSync(image.fd).rdev).bytes;
  return Math.max(image.bytes, Math.min(marker.bytes ?? 0, device));
}

/** Marks as used what the images may hold, so that it is read from there, and shows what slot 0 says of itself. */
export function findUsers(served: readonly ServedImage[], shared: Shared): void {
  for (const [x, { image }] of served.entries()) {
    noteHeader(shared, null, x, firstPage(x, image.path));
    for (const { start, end } of dataExtents(image)) {
      setRange(shared.users, x, Math.floor(start / PAGE_SIZE), Math.ceil(end / PAGE_SIZE));
    }
  }
}

/** An image that is shorter has no signature in it; whoever reads the slot is told what is wrong. */
function firstPage(x: number, path: string): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  try {
    const fd = openSync(path, 'r');
    try {
      readSync(fd, page, 0, PAGE_SIZE, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const text = `exports[${x}].image: ${path}: can't be read: ${errorText(error)}`;
    throw new ExitError(EXIT.usage, text, { cause: error });
  }
  return page;
}

export function writeMarkers(served: readonly ServedImage[], durability: Config['durability']): MarkersWritten {
  for (const [x, { image, marker, before }] of served.entries()) {
    try {
      writeMarker(marker, newMarker(image, durability, before.state));
    } catch (error) {
      throw new ExitError(EXIT.usage, `exports[${x}].image: ${marker}: can't write the marker: ${errorText(error)}`, {
        cause: error,
      });
    }
  }
  return { markers: served.map(({ marker }) => marker) };
}

/**
 * A start that failed before any client got in: nothing was served, so the markers and files of this start go again, and the
 * markers that it found are as they were. An image that it has reset holds nothing and is clean. `why`: what failed; thrown
 * again with what could not be taken back, if anything.
 */
export function takeBack(served: readonly ServedImage[], why?: unknown): void {
  const left: string[] = [];
  const attempt = (path: string, work: () => void): void => {
    try {
      work();
    } catch (error) {
      left.push(`${path}: ${errorText(error)}`);
    }
  };
  for (const { image, marker, before } of served) {
    attempt(marker, () => putBackMarker(marker, before));
    if (image.created) attempt(image.path, () => unlinkSync(image.path));
  }
  if (left.length === 0) return;
  const text = `${errorText(why)}; not as it was before: ${left.join(', ')}`;
  throw why instanceof ExitError ? new ExitError(why.exitCode, text, { cause: why }) : new Error(text, { cause: why });
}

/**
 * After a complete drain: why the image is not what a client would have read all the same, or null. Nothing here and in
 * endMarker may hold the thread: the file system of an image can stall, and others are waiting to be ended.
 */
export async function drainProblem({ image }: ServedImage): Promise<string | null> {
  try {
    return await imageProblem(image);
  } catch (error) {
    return errorText(error);
  }
}

/** Removes the marker of an image that is what a client would have read. Resolves with why that could not be, or null. */
export async function endMarker({ marker }: ServedImage): Promise<string | null> {
  try {
    await removeMarkerLater(marker);
    return null;
  } catch (error) {
    return `the marker could not be removed: ${errorText(error)}, allowed: remove ${marker} by hand`;
  }
}
