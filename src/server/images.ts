/**
 * Images and their markers, at start and at the end. Invariant: while a server may hold bytes that an image does not have,
 * the marker lies beside that image, written and synced before any client gets in.
 */
import { closeSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { programLine } from '../config/program.ts';
import type { Config } from '../config/schema.ts';
import { deviceMarkerFolders } from '../config/state_folder.ts';
import { describeBlockDevice } from '../image/block_device.ts';
import { discardImage } from '../image/discard.ts';
import { distrusted, type FoundMarker, type MarkerState, NO_MARKER, newMarker, removeMarker } from '../image/marker.ts';
import {
  distrustMarkerLater,
  findMarkers,
  type MarkerPlaces,
  markerPlaces,
  putBackMarkers,
  removeMarkersLater,
  writeMarkerTo,
} from '../image/places.ts';
import { dataExtents, type FoundImage, ImageError, type PreparedImage, prepareImage } from '../image/prepare.ts';
import { imageProblem } from '../image/problem.ts';
import { isMarked, notedGone } from '../image/same_image.ts';
import { decideStart } from '../image/unclean.ts';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import { shellWord } from '../os/shell.ts';
import { setRange } from '../pool/bits.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { noteHeader } from '../zswap/swap_header.ts';

/** What writeMarkers has put on the disk. The door asks to be shown it, so that it can't be opened before. */
export interface MarkersWritten {
  readonly markers: readonly string[];
  /** For the log: why a path could not be noted, of the first that could not; or null. */
  readonly notNoted: string | null;
}

export interface ServedImage {
  readonly image: PreparedImage;
  readonly places: MarkerPlaces;
  /** The marker of before this start, of an image that is served all the same. None once this start has reset it. */
  readonly before: FoundMarker;
}

/** Locks every image and decides what a marker means; throws ExitError before anything but an image file was created. */
export function openImages(config: Config, warn: (line: string) => void): ServedImage[] {
  const served: ServedImage[] = [];
  for (const [x, one] of config.exports.entries()) {
    try {
      let found = null as Admitted | null;
      const admit = (there: FoundImage): void => {
        found = admitImage(config, x, there, warn);
      };
      const image = prepareImage({ path: one.image, bytes: one.size, direct: config.image.direct, admit });
      const { places, before, start } = found!;
      // From here on a start that fails knows what to take back.
      served.push({ image, places, before });
      if (start === 'reset') {
        reset(image, places, before.state);
        served[x] = { image, places, before: NO_MARKER };
      }
    } catch (error) {
      const why = error instanceof ImageError ? imageExit(x, error) : error;
      takeBack(served, why);
      throw why;
    }
  }
  return served;
}

interface Admitted extends Omit<ServedImage, 'image'> {
  readonly start: ReturnType<typeof decideStart>;
}

/** What the markers of an image say to its start; throws ImageError where that is a refusal. For `config check` too. */
export function admitImage(config: Config, x: number, found: FoundImage, warn: (line: string) => void): Admitted {
  const { image } = found;
  const { image: configured, onUnclean } = config.exports[x];
  const places = markerPlaces(image, deviceMarkerFolders(), configured);
  const marked = findMarkers(places);
  const noted = notedGone(marked, image, found.there);
  const before = noted === null ? marked : { ...marked, state: noted };
  const other = found.there === 'bytes' && !isMarked(before.state, image);
  const start = decideStart({
    marker: before.state,
    there: other ? 'other' : found.there === 'bytes' ? 'image' : found.there,
    onUnclean,
    path: noted === null ? image.path : configured,
    exportIndex: x,
    resetLine: (path) => resetLine(path, image.file === null || noted !== null),
    warn,
  });
  return { places, before: other ? { ...before, state: distrusted(before.state) } : before, start };
}

/** The marker of a block device, and a note, are looked for where the server did, which a shell does not know from a service manager. */
function resetLine(path: string, inFolder: boolean): string {
  const line = programLine('image', 'reset', path);
  const folder = process.env.STATE_DIRECTORY;
  return inFolder && folder !== undefined ? `STATE_DIRECTORY=${shellWord(folder)} ${line}` : line;
}

export function imageExit(x: number, error: ImageError): ExitError {
  const code = error.kind === 'stale' ? EXIT.staleImage : EXIT.usage;
  return new ExitError(code, `exports[${x}].image: ${error.message}`, { cause: error });
}

/** The marker is still there when this fails, so the next start asks again. */
function reset(image: PreparedImage, places: MarkerPlaces, marker: MarkerState): void {
  try {
    discardImage({ ...image, bytes: staleBytes(image, marker) });
    // A start writes none of these, and what it serves from here on is not what they tell of.
    for (const older of places.older) removeMarker(older);
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
  let notNoted: string | null = null;
  for (const [x, { image, places, before }] of served.entries()) {
    try {
      const failed = writeMarkerTo(places, newMarker(image, durability, before.state));
      if (failed !== null) {
        notNoted ??= `exports[${x}].image: can't be noted in ${dirname(places.notes[0])}: ${errorText(failed)}; if the image is not there after a crash, a start makes a new one`;
      }
    } catch (error) {
      throw new ExitError(
        EXIT.usage,
        `exports[${x}].image: ${places.path}: can't write the marker: ${errorText(error)}`,
        {
          cause: error,
        },
      );
    }
  }
  return { markers: served.map(({ places }) => places.path), notNoted };
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
  for (const { image, places, before } of served) {
    attempt(places.path, () => putBackMarkers(places, before));
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
export async function endMarker({ places }: ServedImage): Promise<string | null> {
  try {
    await removeMarkersLater(places);
    return null;
  } catch (error) {
    return `the marker could not be removed: ${errorText(error)}, allowed: remove ${places.path} by hand`;
  }
}

/** After an image was changed by others: what became of its marker, as the end of a sentence. */
export async function changedMarker({ places }: ServedImage): Promise<string> {
  try {
    return (await distrustMarkerLater(places)) ? 'its marker stays' : 'its marker is gone too';
  } catch (error) {
    return `its marker can't be looked at (${errorText(error)})`;
  }
}
