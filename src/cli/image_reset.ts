// `zswapd image reset`: discards a stale image on the operator's word, so that it can be served again.
// Invariant: an image that a server uses, or that is not stale, is not touched; the marker goes last. What lies at the path of an
// image that is gone is not that image, so its content stays.
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { programLine } from '../config/program.ts';
import { deviceMarkerFolders } from '../config/state_folder.ts';
import { formatSize } from '../config/units.ts';
import { discardImage } from '../image/discard.ts';
import { ImageError } from '../image/error.ts';
import { refuseServed } from '../image/living.ts';
import { type LockedImage, lockImage, releaseImage } from '../image/lock.ts';
import { isStrict, type MarkerState, markerBeside, readMarker, removeMarker } from '../image/marker.ts';
import { forgetParts, markersOfParts, refuseStaleOther } from '../image/parts.ts';
import {
  findMarkers,
  type MarkerPlaces,
  markedBytes,
  markerPlaces,
  notePlaces,
  removeMarkers,
  there,
  whereMarked,
  writeMarkerTo,
} from '../image/places.ts';
import { isMarked, isNamedOnly, notedGone } from '../image/same_image.ts';
import { lastServer } from '../image/unclean.ts';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import { shellWord } from '../os/shell.ts';

/** Returns the exit code, or throws an ExitError with one line. */
export async function resetImage(path: string): Promise<number> {
  try {
    return await reset(path);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw new ExitError(error.kind === 'stale' ? EXIT.staleImage : EXIT.usage, error.message, { cause: error });
  }
}

async function reset(path: string): Promise<number> {
  const orphans = markersWithoutImage(path);
  if (orphans.length > 0) return forget(path, orphans);
  const image = lockImage(path);
  try {
    const places = markerPlaces(image, deviceMarkerFolders(), resolve(path));
    const found = findMarkers(places);
    refuseServed(image.path, found.state);
    const isWhole = image.file !== null && found.state !== null;
    if (!isWhole) refuseStaleOther({ ...image, stale: false }, (other) => programLine('image', 'reset', other));
    if (isNamedOnly(image) && !isMarked(found.state, image)) return forgetNoted(path, found.state, places);
    const noted = notedGone(found, image, image.bytes === 0 ? 'empty' : 'bytes');
    if (noted !== null && image.bytes > 0) return forgetNoted(path, noted, places);
    const state = found.state ?? noted;
    if (state === null) {
      process.stderr.write(`${image.path}: is not stale${lookedAt(image, places)}, nothing to do\n`);
      return EXIT.ok;
    }
    const bytes = discardedBytes(image, places, state);
    const markers = whereMarked(places);
    let left: string | null;
    try {
      vouchNoMore(places, found.state);
      await discardImage({ ...image, bytes });
      left = removeMarkers(places);
      if (image.file !== null) forgetParts(image.file);
    } catch (error) {
      throw new ExitError(EXIT.failed, `${image.path}: not reset: ${errorText(error)}`, { cause: error });
    }
    const done =
      bytes === 0 ? 'its image is gone: the file is empty' : `discarded its content (${formatSize(bytes)} of zeros)`;
    const gone = markers.filter((one) => !existsSync(one));
    const removed = gone.length === 0 ? 'took the mark from the file' : `removed ${gone.join(', ')}`;
    process.stderr.write(
      `${image.path}: was stale, because ${lastServer(state)} did not stop cleanly; ${done} and ${removed}\n`,
    );
    if (left !== null) process.stderr.write(`${image.path}: ${left}\n`);
    return EXIT.ok;
  } finally {
    releaseImage(image);
  }
}

/** Half discarded it is not what was flushed any more: a start after a reset that was cut short has to be refused. */
function vouchNoMore(places: MarkerPlaces, marker: MarkerState): void {
  if (marker === null || marker === 'unreadable' || !isStrict(marker)) return;
  // The weakest marker counts, so one is enough.
  writeMarkerTo({ ...places, marked: null, notes: [] }, { ...marker, durability: 'volatile' });
}

/** The marker of a file that is not there, if there is one, and what is noted of its path. */
function markersWithoutImage(path: string): string[] {
  if (existsSync(path)) return [];
  const notes = there(notePlaces(resolve(path), deviceMarkerFolders()));
  if (!existsSync(dirname(path))) return notes;
  const real = join(realpathSync(dirname(path)), basename(path));
  const marker = markerBeside(real);
  return [...(readMarker(marker) === null ? [] : [marker]), ...markersOfParts(real), ...notes];
}

/** Something else is at the path of an image that is noted: nothing says that its content is stale. */
function forgetNoted(path: string, noted: MarkerState, places: MarkerPlaces): number {
  const markers = whereMarked(places);
  remove(path, markers);
  process.stderr.write(
    `${path}: is not the image that ${lastServer(noted)} had when it ended, so its content stays; removed ${markers.join(', ')}\n`,
  );
  return EXIT.ok;
}

function forget(path: string, markers: readonly string[]): number {
  const found = readMarker(markers[0]);
  refuseServed(path, found);
  remove(path, markers);
  process.stderr.write(
    `${path}: ${lastServer(found)} did not stop cleanly, and its image is gone: the file is missing; removed ${markers.join(', ')}\n`,
  );
  return EXIT.ok;
}

function remove(path: string, markers: readonly string[]): void {
  try {
    for (const marker of markers) removeMarker(marker);
  } catch (error) {
    throw new ExitError(EXIT.failed, `${path}: not reset: ${errorText(error)}`, { cause: error });
  }
}

/** The marker of a block device is found only by who looks in the folder of the server. */
function lookedAt(image: LockedImage, { path, older }: MarkerPlaces): string {
  return image.file !== null ? '' : ` by ${[...new Set([path, ...older].map(dirname))].join(' or ')}`;
}

/** What lies on a block device behind the end of the export was never ours, so it has to be known where that end was. */
function discardedBytes(image: LockedImage, places: MarkerPlaces, marker: MarkerState): number {
  if (!image.blockDevice) return image.bytes;
  const served = markedBytes(places, image);
  if (served > 0) return Math.min(served, image.bytes);
  const wrong = marker === 'unreadable' ? 'its marker is unreadable' : 'its marker is of an earlier version';
  const whole = `an export of the whole device (${formatSize(image.bytes)})`;
  const start = `a start of ${whole} with \`--set ${shellWord('exports[N].onUnclean=reset')}\`, which discards it all`;
  throw new ExitError(
    EXIT.usage,
    `${image.path}: ${wrong}, so nothing tells how much of it was an export, and it keeps its content; allowed: ${start}`,
  );
}
