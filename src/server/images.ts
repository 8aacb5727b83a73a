/**
 * Images and their markers, at start and at the end. Invariant: while a server may hold bytes that an image does not have,
 * the marker lies beside that image, written and synced before any client gets in.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, statSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { programLine } from '../config/program.ts';
import type { Config } from '../config/schema.ts';
import { deviceMarkerFolders } from '../config/state_folder.ts';
import { sameFile } from '../image/io.ts';
import { refuseServed } from '../image/living.ts';
import { distrusted, type FoundMarker, isStrict, newMarker } from '../image/marker.ts';
import { MarkError } from '../image/marks.ts';
import { refuseStaleOther } from '../image/parts.ts';
import {
  changeVouchLater,
  findMarkers,
  isThere,
  type MarkerPlaces,
  markerPlaces,
  putBackMarkers,
  removeMarkersLater,
  writeMarkerTo,
} from '../image/places.ts';
import {
  dataExtents,
  type FoundImage,
  ImageError,
  type ImageSpec,
  type PreparedImage,
  prepareImage,
} from '../image/prepare.ts';
import { imageProblem } from '../image/problem.ts';
import { isMarked, isNamedOnly, notedGone } from '../image/same_image.ts';
import { decideStart } from '../image/unclean.ts';
import { EXIT, ExitError, errorCode, errorText } from '../os/exit_error.ts';
import { shellWord } from '../os/shell.ts';
import { setRange } from '../pool/bits.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import type { Shared } from '../pool/shared.ts';
import { noteHeader } from '../zswap/swap_header.ts';

/** What writeMarkers has put on the disk. The door asks to be shown it, so that it can't be opened before. */
export interface MarkersWritten {
  readonly markers: readonly string[];
  /** By export: whether the marker vouches for what is flushed. */
  readonly strict: readonly boolean[];
  /** For the log: why a path could not be noted, of the first that could not; or null. */
  readonly notNoted: string | null;
}

export interface ServedImage {
  readonly image: PreparedImage;
  readonly places: MarkerPlaces;
  /** The marker of before this start, of an image that is served all the same. None once this start has reset it. */
  readonly before: FoundMarker;
  /** Whether it is to begin without its content: reset_images.ts. */
  readonly reset: boolean;
  /** Whether this start may have changed what marks it. Only then there is something to put back, and a disk to wait for. */
  touched: boolean;
}

/** Locks every image and decides what a marker means; throws ExitError before anything but an image file was created. */
export function openImages(config: Config, warn: (line: string) => void): ServedImage[] {
  const served: ServedImage[] = [];
  const markers = new Map<string, number>();
  for (const [x, one] of config.exports.entries()) {
    try {
      let found = null as Admitted | null;
      let weaker = false;
      const admit = (there: FoundImage): void => {
        found = admitImage(config, x, there, warn);
        refuseShared(markers, x, one.image, found.places);
        weaker = there.there === 'empty' && isStrict(found.before.state);
        if (weaker) weaken(x, found);
      };
      const spec = { path: one.image, bytes: one.size, direct: config.image.direct, admit };
      const image = prepared(spec, () => weaker && putBackMarkers(fileAlone(found!.places), found!.before));
      const { places, before, start } = found!;
      // From here on a start that fails knows what to take back.
      served.push({ image, places, before, reset: start === 'reset', touched: weaker });
    } catch (error) {
      const why = error instanceof ImageError ? imageExit(x, error) : error;
      takeBack(served, why);
      throw why;
    }
  }
  return served;
}

/** Two disks of one serial number can't be told apart: the first to end would take both markers. */
export function refuseShared(markers: Map<string, number>, x: number, path: string, places: MarkerPlaces): void {
  const other = markers.get(places.path);
  markers.set(places.path, x);
  if (other === undefined) return;
  const text = `${path}: shares its marker ${places.path} with exports[${other}].image, allowed: images that can be told apart`;
  throw new ImageError('type', text);
}

/** `failed`: to be done once the image is as it was. */
function prepared(spec: ImageSpec, failed: () => void): PreparedImage {
  try {
    return prepareImage(spec);
  } catch (error) {
    failed();
    throw error;
  }
}

/** Before an empty image gets its size: a start that is killed then must not leave zeros that a strict marker vouches for. */
function weaken(x: number, { places, before: { state } }: Admitted): void {
  if (state === null || state === 'unreadable') return;
  try {
    writeMarkerTo(fileAlone(places), { ...state, durability: 'volatile' });
  } catch (error) {
    throw markerExit(x, places, error);
  }
}

/** The weakest marker counts, so one is enough; and no descriptor of a failed start is needed to put it back. */
function fileAlone(places: MarkerPlaces): MarkerPlaces {
  return { ...places, marked: null, notes: [] };
}

function markerExit(x: number, { path }: MarkerPlaces, error: unknown): ExitError {
  const allowed = errorCode(error) === 'ENOSPC' ? ', allowed: room for a file of a block there' : '';
  const text = `exports[${x}].image: ${path}: can't write the marker: ${errorText(error)}${allowed}`;
  return new ExitError(EXIT.usage, text, { cause: error });
}

interface Admitted extends Omit<ServedImage, 'image' | 'reset' | 'touched'> {
  readonly start: ReturnType<typeof decideStart>;
}

/** What the markers of an image say to its start; throws ImageError where that is a refusal. For `config check` too. */
export function admitImage(config: Config, x: number, found: FoundImage, warn: (line: string) => void): Admitted {
  const { image } = found;
  const { image: configured, onUnclean } = config.exports[x];
  // One that was just made is not what a marker tells of.
  const file = found.there === 'missing' && image.file !== null ? { ...image.file, fd: -1 } : image.file;
  const places = markerPlaces(image, deviceMarkerFolders(), configured);
  const marked = findMarkers(places);
  refuseServed(image.path, marked.state);
  refuseStaleOther({ ...image, file, stale: marked.state !== null }, resetLine);
  const noted = notedGone(marked, image, found.there);
  const before = noted === null ? marked : { ...marked, state: noted };
  const other = found.there === 'bytes' && !isMarked(before.state, image);
  // Of a device that has another's name nothing but that says that it is stale.
  const strange = noted === null && !isNamedOnly(image) ? 'other' : 'unmarked';
  const start = decideStart({
    marker: before.state,
    there: other ? strange : found.there === 'bytes' ? 'image' : found.there,
    onUnclean,
    path: noted === null ? image.path : configured,
    exportIndex: x,
    resetLine: resetLine(configured),
    warn,
  });
  return { places, before: other ? { ...before, state: distrusted(before.state) } : before, start };
}

/**
 * Notes, and markers of block devices, are looked for where the server did, which a shell does not know from a service manager; a
 * note by the path that the config has.
 */
function resetLine(configured: string): string {
  const line = programLine('image', 'reset', configured);
  const folder = process.env.STATE_DIRECTORY;
  return folder === undefined ? line : `STATE_DIRECTORY=${shellWord(folder)} ${line}`;
}

export function imageExit(x: number, error: ImageError): ExitError {
  const code = error.kind === 'stale' ? EXIT.staleImage : EXIT.usage;
  return new ExitError(code, `exports[${x}].image: ${error.message}`, { cause: error });
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
  const strict: boolean[] = [];
  for (const [x, one] of served.entries()) {
    const { image, places, before } = one;
    one.touched = true;
    try {
      const marker = newMarker(image, durability, before.state);
      strict.push(isStrict(marker));
      const failed = writeMarkerTo(places, marker);
      if (failed !== null) {
        notNoted ??= `exports[${x}].image: can't be noted in ${dirname(places.notes[0])}: ${errorText(failed)}; if the image is not there after a crash, a start makes a new one`;
      }
    } catch (error) {
      throw markerExit(x, places, error);
    }
  }
  return { markers: served.map(({ places }) => places.path), strict, notNoted };
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
  for (const { image, places, before, touched } of served) {
    // First, so that no crash leaves a strict marker beside zeros that it would vouch for.
    if (image.grown) attempt(image.path, () => ftruncateSync(image.fd, 0));
    if (touched) attempt(places.path, () => putBackMarkers(places, before));
    if (image.created) attempt(image.path, () => removeMade(image));
  }
  if (left.length === 0) return;
  const text = `${errorText(why)}; not as it was before: ${left.join(', ')}`;
  throw why instanceof ExitError ? new ExitError(why.exitCode, text, { cause: why }) : new Error(text, { cause: why });
}

/** What somebody has put in its place is his. */
function removeMade({ fd, path }: PreparedImage): void {
  const named = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (named !== undefined && sameFile(fstatSync(fd, { bigint: true }), named)) unlinkSync(path);
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

/**
 * Removes the marker of an image that is what a client would have read. Resolves with why that could not be, or null, and with
 * what to say of a note that is left, or null.
 */
export async function endMarker({ places }: ServedImage): Promise<{ left: string | null; note: string | null }> {
  try {
    return { left: null, note: await removeMarkersLater(places) };
  } catch (error) {
    const path = (error as NodeJS.ErrnoException).path ?? places.path;
    const by = error instanceof MarkError ? `take away the attribute, and then remove ${path},` : `remove ${path}`;
    return { left: `the marker could not be removed: ${errorText(error)}, allowed: ${by} by hand`, note: null };
  }
}

/** After an end that did not save everything, nobody may vouch for what was flushed: what became of its marker, as the end of a sentence. */
export async function changedMarker({ places }: ServedImage): Promise<string> {
  try {
    await changeVouchLater(places, 'volatile');
    return (await isThere(places.path)) ? 'its marker stays' : 'its marker is gone too';
  } catch (error) {
    return `its marker can't be looked at (${errorText(error)})`;
  }
}
