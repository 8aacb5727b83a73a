// `zswapd image reset`: discards a stale image on the operator's word, so that it can be served again.
// Invariant: an image that a server uses, or that is not stale, is not touched; the marker goes last.
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { deviceMarkerFolders } from '../config/state_folder.ts';
import { formatSize } from '../config/units.ts';
import { discardImage } from '../image/discard.ts';
import { ImageError } from '../image/error.ts';
import { type LockedImage, lockImage, releaseImage } from '../image/lock.ts';
import { type MarkerState, markerBeside, readMarker, removeMarker } from '../image/marker.ts';
import {
  findMarkers,
  type MarkerPlaces,
  markerPlaces,
  notePlaces,
  removeMarkers,
  there,
  whereMarked,
} from '../image/places.ts';
import { notedGone } from '../image/same_image.ts';
import { lastServer } from '../image/unclean.ts';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';

/** Returns the exit code, or throws an ExitError with one line. */
export async function resetImage(path: string): Promise<number> {
  const orphans = markersWithoutImage(path);
  if (orphans.length > 0) return forget(path, orphans);
  const image = lock(path);
  try {
    const places = markerPlaces(image, deviceMarkerFolders(), resolve(path));
    const found = findMarkers(places);
    const state = found.state ?? notedGone(found, image, image.bytes === 0 ? 'empty' : 'bytes');
    if (state === null) {
      process.stderr.write(`${image.path}: is not stale${lookedAt(image, places)}, nothing to do\n`);
      return EXIT.ok;
    }
    const bytes = discardedBytes(image, state);
    const markers = whereMarked(places);
    try {
      discardImage({ ...image, bytes });
      removeMarkers(places);
    } catch (error) {
      throw new ExitError(EXIT.failed, `${image.path}: not reset: ${errorText(error)}`, { cause: error });
    }
    const done =
      bytes === 0 ? 'its image is gone: the file is empty' : `discarded its content (${formatSize(bytes)} of zeros)`;
    const removed = markers.length === 0 ? 'took the mark from the file' : `removed ${markers.join(', ')}`;
    process.stderr.write(
      `${image.path}: was stale, because ${lastServer(state)} did not stop cleanly; ${done} and ${removed}\n`,
    );
    return EXIT.ok;
  } finally {
    releaseImage(image);
  }
}

/** The marker of a file that is not there, if there is one, and what is noted of its path. */
function markersWithoutImage(path: string): string[] {
  if (existsSync(path)) return [];
  const notes = there(notePlaces(resolve(path), deviceMarkerFolders()));
  if (!existsSync(dirname(path))) return notes;
  const marker = markerBeside(join(realpathSync(dirname(path)), basename(path)));
  return readMarker(marker) === null ? notes : [marker, ...notes];
}

function forget(path: string, markers: readonly string[]): number {
  const found = readMarker(markers[0]);
  try {
    for (const marker of markers) removeMarker(marker);
  } catch (error) {
    throw new ExitError(EXIT.failed, `${path}: not reset: ${errorText(error)}`, { cause: error });
  }
  process.stderr.write(
    `${path}: ${lastServer(found)} did not stop cleanly, and its image is gone: the file is missing; removed ${markers.join(', ')}\n`,
  );
  return EXIT.ok;
}

/** The marker of a block device is found only by who looks in the folder of the server. */
function lookedAt(image: LockedImage, { path, older }: MarkerPlaces): string {
  return image.file !== null ? '' : ` by ${[path, ...older].map((one) => dirname(one)).join(' or ')}`;
}

function lock(path: string): LockedImage {
  try {
    return lockImage(path);
  } catch (error) {
    if (error instanceof ImageError) throw new ExitError(EXIT.usage, error.message, { cause: error });
    throw error;
  }
}

/** What lies on a block device behind the end of the export was never ours. */
function discardedBytes(image: LockedImage, marker: MarkerState): number {
  const served = marker === null || marker === 'unreadable' ? undefined : marker.bytes;
  return image.blockDevice && served !== undefined ? Math.min(served, image.bytes) : image.bytes;
}
