/**
 * What to do with the marker that was found at start.
 * Invariant: a stale image is never served or discarded unless somebody said so by name; a marker that can't be read is
 * the worst case, that of a volatile server.
 */
import { shellWord } from '../os/shell.ts';
import { ImageError } from './image_error.ts';
import { isStrict, type MarkerState } from './marker.ts';

export type OnUnclean = 'refuse' | 'reset' | 'serve';

export interface StartQuestion {
  marker: MarkerState;
  onUnclean: OnUnclean;
  /** Path of the image, and the place of its export in the config, for the command lines that lead out. */
  path: string;
  exportIndex: number;
  /** A line for a shell that resets the image at this path. */
  resetLine: (path: string) => string;
  /** Gets a line for the log where the operator should know what is served. */
  warn: (line: string) => void;
}

/** 'clean': nothing to do. 'reset': discard, then serve. Throws ImageError 'stale', whose exit code is 3. */
export function decideStart(question: StartQuestion): 'clean' | 'serve' | 'reset' {
  const { marker, onUnclean, path, warn } = question;
  if (marker === null) return 'clean';
  if (isStrict(marker)) {
    // Whatever onUnclean says: what was flushed is all there, and must outlive a killed server.
    warn(`${path}: ${lastServer(marker)} did not stop cleanly; what was flushed is there, later writes may be gone`);
    return 'serve';
  }
  if (onUnclean === 'refuse') throw new ImageError('stale', refusal(question));
  const result =
    onUnclean === 'reset' ? 'its content is discarded' : 'old bytes are served, and stay stale until a clean stop';
  warn(`${path}: ${lastServer(marker)} did not stop cleanly; onUnclean is ${onUnclean}: ${result}`);
  return onUnclean;
}

function refusal({ marker, path, exportIndex, resetLine }: StartQuestion): string {
  const setting = (value: OnUnclean): string => shellWord(`exports[${exportIndex}].onUnclean=${value}`);
  return (
    `${path}: stale, because ${lastServer(marker)} did not stop cleanly; ` +
    `allowed: discard the content with \`${resetLine(path)}\`, or ` +
    `start with \`--set ${setting('reset')}\`, or get the old bytes with \`--set ${setting('serve')}\``
  );
}

/** Who left the marker. */
export function lastServer(marker: MarkerState): string {
  if (marker === null) return 'no server';
  if (marker === 'unreadable') return 'its last server (the marker is unreadable)';
  return `its last server (pid ${marker.pid}, started ${marker.started})`;
}
