/**
 * What to do with the marker that was found at start.
 * Invariant: a stale image is never served or discarded unless somebody said so by name; a marker that can't be read is
 * the worst case, that of a volatile server.
 */
import { shellWord } from '../os/shell.ts';
import { ImageError } from './error.ts';
import { isStrict, type MarkerState } from './marker.ts';

export type OnUnclean = 'refuse' | 'reset' | 'serve';

/**
 * Beside a marker: the image it tells of, another file, or nothing that a client has ever written. 'unmarked': nothing but the
 * note of the path tells of an image, and there is something else.
 */
type ImageThere = 'image' | 'other' | 'unmarked' | 'missing' | 'empty';

interface StartQuestion {
  marker: MarkerState;
  there: ImageThere;
  onUnclean: OnUnclean;
  /** Path of the image, and the place of its export in the config, for the command lines that lead out. */
  path: string;
  exportIndex: number;
  /** A line for a shell that resets the image. */
  resetLine: string;
  /** Gets a line for the log where the operator should know what is served. */
  warn: (line: string) => void;
}

/** 'clean': nothing to do. 'reset': discard, then serve. Throws ImageError 'stale', whose exit code is 3. */
export function decideStart(question: StartQuestion): 'clean' | 'serve' | 'reset' {
  const { marker, there, onUnclean, path, warn } = question;
  if (marker === null) return 'clean';
  if (there === 'missing' || there === 'empty') {
    // Zeros are nobody's old bytes, so there is nothing that could be served instead.
    if (onUnclean !== 'reset') throw new ImageError('stale', goneText(question));
    warn(`${path}: ${unclean(marker)} and its image is gone; onUnclean is reset: starts empty`);
    return 'reset';
  }
  if (isStrict(marker) && there === 'image') {
    // Whatever onUnclean says: what was flushed is all there, and must outlive a killed server.
    warn(`${path}: ${unclean(marker)}; what was flushed is there, later writes may be gone`);
    return 'serve';
  }
  // What is stale may be discarded unasked; what nobody has served under this name is somebody's data.
  if (there === 'unmarked' && onUnclean !== 'serve') throw new ImageError('stale', unmarkedText(question));
  if (onUnclean === 'refuse') throw new ImageError('stale', refusal(question));
  const strange = there !== 'image';
  const served = `${strange ? 'what is there is' : 'old bytes are'} served, and ${strange ? 'counts as' : 'stay'} stale until a clean stop`;
  const result = onUnclean === 'reset' ? 'its content is discarded' : served;
  const which = strange ? ', and this is not the image that it had' : '';
  warn(`${path}: ${unclean(marker)}${which}; onUnclean is ${onUnclean}: ${result}`);
  return onUnclean;
}

function unclean(marker: MarkerState): string {
  return `${lastServer(marker)} did not stop cleanly`;
}

function goneText({ marker, there, path, exportIndex, resetLine }: StartQuestion): string {
  return (
    `${path}: ${unclean(marker)}, and its image is gone: the file is ${there}; ` +
    `allowed: put the image back, with its mount or device, or start with an empty one after \`${resetLine}\` ` +
    `or with \`--set ${setting(exportIndex, 'reset')}\``
  );
}

function refusal({ marker, there, path, exportIndex, resetLine }: StartQuestion): string {
  const other = there === 'other';
  const wrong = other ? notTheImage(marker) : `stale, because ${unclean(marker)}`;
  const serve = other ? 'serve what this file has' : 'get the old bytes';
  return (
    `${path}: ${wrong}; allowed: ${other ? 'put that image back, or ' : ''}` +
    `discard the content with \`${resetLine}\`, or ` +
    `start with \`--set ${setting(exportIndex, 'reset')}\`, or ${serve} with \`--set ${setting(exportIndex, 'serve')}\``
  );
}

function unmarkedText({ marker, path, exportIndex, resetLine }: StartQuestion): string {
  return (
    `${path}: ${notTheImage(marker)}; allowed: put that image back, or ` +
    `forget it with \`${resetLine}\`, which leaves the content of what is there alone, or ` +
    `serve what is there with \`--set ${setting(exportIndex, 'serve')}\`; onUnclean: reset discards only what a marker of its own calls stale`
  );
}

function notTheImage(marker: MarkerState): string {
  return `is not the image that ${lastServer(marker)} had${isStrict(marker) ? ' flushed to' : ''} when it ended`;
}

function setting(exportIndex: number, value: OnUnclean): string {
  return shellWord(`exports[${exportIndex}].onUnclean=${value}`);
}

/** Who left the marker. */
export function lastServer(marker: MarkerState): string {
  if (marker === null) return 'no server';
  if (marker === 'unreadable') return 'its last server (the marker is unreadable)';
  return `its last server (pid ${marker.pid}, started ${marker.started})`;
}
