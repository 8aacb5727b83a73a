// `zswapd image reset`: discards a stale image on the operator's word, so that it can be served again.
// Invariant: an image that a server uses, or that is not stale, is not touched; the marker goes last.
import { closeSync } from 'node:fs';
import { STATE_FOLDER } from '../config/environment.ts';
import { formatSize } from '../config/units.ts';
import { discardImage } from '../image/discard.ts';
import { type MarkerState, markerPath, readMarker, removeMarker } from '../image/marker.ts';
import { ImageError, type LockedImage, lockImage } from '../image/prepare.ts';
import { lastServer } from '../image/unclean.ts';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';

/** Returns the exit code, or throws an ExitError with one line. */
export async function resetImage(path: string): Promise<number> {
  const image = lock(path);
  try {
    const marker = markerPath(image, STATE_FOLDER);
    const found = readMarker(marker);
    if (found === null) {
      process.stderr.write(`${image.path}: is not stale, nothing to do\n`);
      return EXIT.ok;
    }
    const bytes = discardedBytes(image, found);
    try {
      discardImage({ ...image, bytes });
      removeMarker(marker);
    } catch (error) {
      throw new ExitError(EXIT.failed, `${image.path}: not reset: ${errorText(error)}`, { cause: error });
    }
    process.stderr.write(
      `${image.path}: was stale, because ${lastServer(found)} did not stop cleanly; ` +
        `discarded its content (${formatSize(bytes)} of zeros) and removed ${marker}\n`,
    );
    return EXIT.ok;
  } finally {
    closeSync(image.fd);
  }
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
