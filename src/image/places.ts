/**
 * Where the marker of an image lies: beside its file, also that of a part (parts.ts); for another block device in a folder of
 * ours, because its node is no place for files. Where the file system keeps extended attributes, the file itself is marked as
 * well, so that it says that it is stale when it was moved, copied with its attributes, or is reached past its marker. And the
 * path that the config has for it is noted in that folder, because all these are out of sight where its file system is not
 * mounted, or its device not there.
 *
 * Invariants: the marker is what counts; a file system without attributes takes nothing from it. Of several the weakest is
 * believed, because each was left by a server that did not stop cleanly. An image is clean when all are gone, and the mark goes
 * first: whatever is left by a crash in between says too much, not too little. A note counts only where the image is not there
 * (same_image.ts), so one that is left over is no harm, and neither is one that can't be written.
 */
import { existsSync, fstatSync, statSync } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../os/exit_error.ts';
import { ImageError } from './error.ts';
import type { LockedImage } from './lock.ts';
import {
  type Durability,
  type FoundMarker,
  findMarker,
  isStrict,
  type MarkerInfo,
  type MarkerState,
  markerBeside,
  markerBytes,
  markerOfDevice,
  NO_MARKER,
  noteOfPath,
  parseMarker,
  putBackMarker,
  readMarker,
  removeMarker,
  removeMarkerLater,
  writeMarker,
} from './marker.ts';
import { replaceFileLater } from './marker_file.ts';
import { ATTRIBUTE, changeMarkLater, type Mark, readMark, removeMark, setMark } from './marks.ts';
import { attributeOfPart, markerOfPart } from './parts.ts';
import { isMarked } from './same_image.ts';

export interface MarkerPlaces {
  /** Where it is written. */
  readonly path: string;
  /** Where a start with other settings, or an earlier version, may have left one. */
  readonly older: readonly string[];
  /** The file that is marked too; null where there is none. */
  readonly marked: Mark | null;
  /** Where the configured path is noted, the one to write to first; empty for an image that lies in that folder itself. */
  readonly notes: readonly string[];
}

/** `folders`: of ours, the one to write to first. `configured`: the absolute path that the operator wrote. */
export function markerPlaces(
  image: Pick<LockedImage, 'blockDevice' | 'identity' | 'names' | 'file' | 'part'>,
  folders: readonly string[],
  configured: string,
): MarkerPlaces {
  const notes = notePlaces(configured, folders);
  // Earlier versions called a loop device what sysfs does.
  const names = image.blockDevice ? new Set([...image.names, image.identity]) : [];
  const inFolders = [...names].flatMap((name) => folders.map((folder) => markerOfDevice(name, folder)));
  const { file, part } = image;
  if (part !== null) {
    const marked = { fd: part.fd, name: attributeOfPart(part) };
    return { path: markerOfPart(part), older: inFolders, marked, notes };
  }
  if (file === null) return { path: inFolders[0], older: inFolders.slice(1), marked: null, notes };
  const marked = file.fd < 0 ? null : { fd: file.fd, name: ATTRIBUTE };
  return { path: markerBeside(file.path), older: inFolders, marked, notes };
}

export function notePlaces(configured: string, folders: readonly string[]): string[] {
  // There, the note would go with the image.
  if (dirname(configured) === folders[0]) return [];
  return folders.map((folder) => noteOfPath(configured, folder));
}

/**
 * `bytes` and `mark` are those of where a marker is written; `state` is the weakest of all, and of the note of the path if the
 * same server wrote it: changeVouchLater may have got no further.
 */
export function findMarkers(places: MarkerPlaces): FoundMarker {
  const own = findMarker(places.path);
  if (own.state !== null && places.marked !== null) checkOwner(places.path, places.marked.fd);
  const mark = places.marked === null ? { state: null, bytes: null } : readMark(places.marked);
  const note = findNote(places.notes);
  const noted = sameServer(note.state, own.state) ? note.state : null;
  const states = [own.state, ...there(places.older).map(readMarker), mark.state, noted];
  const left = states.filter((state) => state !== null);
  const state = left.find((one) => !isStrict(one)) ?? left[0] ?? null;
  return { state, bytes: own.bytes, mark: mark.bytes, note };
}

/** Whoever may write in a folder that all may write in could call an image of somebody else stale, and have it discarded. */
function checkOwner(marker: string, image: number): void {
  const { uid } = statSync(marker);
  if ([0, process.geteuid!(), fstatSync(image).uid].includes(uid)) return;
  const allowed = `one of this process's user, of root or of the owner of the image, or none`;
  throw new ImageError('marker', `${marker}: belongs to another user (uid ${uid}), allowed: ${allowed}`);
}

/** `bytes` are those of where a note is written. */
function findNote(notes: readonly string[]): FoundMarker['note'] {
  const found = there(notes).map(findNoted);
  const written = there(notes.slice(0, 1)).length > 0 ? found[0].bytes : null;
  return { state: found.find(({ state }) => state !== null)?.state ?? null, bytes: written };
}

/** A note that can't be read counts for the worst where the image is not there, and for nothing where it is. */
function findNoted(note: string): FoundMarker {
  try {
    return findMarker(note);
  } catch (error) {
    if (error instanceof ImageError) return { ...NO_MARKER, state: 'unreadable' };
    throw error;
  }
}

/** How far exports of this image went, by all of its markers that can be read; 0 where none tells. */
export function markedBytes({ path, older, marked, notes }: MarkerPlaces, image: LockedImage): number {
  const own = [path, ...there(older)].map(readMarker);
  // The path may have led to another image when it was noted.
  const noted = there(notes)
    .map((note) => findNoted(note).state)
    .filter((one) => isMarked(one, image));
  const states = [...own, ...(marked === null ? [] : [readMark(marked).state]), ...noted];
  return Math.max(0, ...states.map((one) => (one === null || one === 'unreadable' ? 0 : (one.bytes ?? 0))));
}

/** The places that say so of an unclean stop. */
export function whereMarked({ path, older, notes }: MarkerPlaces): string[] {
  return there([path, ...older, ...notes]);
}

/** Returns why the path could not be noted, or null. */
export function writeMarkerTo({ path, marked, notes }: MarkerPlaces, info: MarkerInfo): Error | null {
  const failed = notes.length === 0 ? null : writeNote(notes[0], info);
  writeMarker(path, info);
  if (marked !== null) setMark(marked, markerBytes(info));
  return failed;
}

function writeNote(note: string, info: MarkerInfo): Error | null {
  try {
    writeMarker(note, info);
    return null;
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return error as Error;
  }
}

/** Leaves the places as they were found. `older` ones are not written by a start. */
export function putBackMarkers({ path, older, marked, notes }: MarkerPlaces, found: FoundMarker): void {
  if (marked !== null && found.mark !== null) setMark(marked, found.mark);
  else if (marked !== null) removeMark(marked);
  try {
    // Found in another place, it says all that it did before; here nothing was.
    putBackMarker(path, found.bytes === null && found.state !== 'unreadable' ? NO_MARKER : found);
    if (found.state === null) for (const one of there(older)) removeMarker(one);
  } finally {
    for (const one of there(notes.slice(0, 1))) putBackMarker(one, found.note.bytes === null ? NO_MARKER : found.note);
  }
}

/** The content of the image has to be on the disk by now. Returns what to say of a note that could not be removed, or null. */
export function removeMarkers({ path, older, marked, notes }: MarkerPlaces): string | null {
  if (marked !== null) removeMark(marked);
  for (const one of [path, ...there(older)]) removeMarker(one);
  let left: string | null = null;
  for (const one of there(notes)) {
    try {
      removeMarker(one);
    } catch (error) {
      left ??= noteLeft(one, error);
    }
  }
  return left;
}

/** As removeMarkers, without holding the thread while the file system does. */
export async function removeMarkersLater({ path, older, marked, notes }: MarkerPlaces): Promise<string | null> {
  if (marked !== null) await changeMarkLater(marked, null);
  await removeMarkerLater(path);
  for (const one of older) if (await isThere(one)) await removeMarkerLater(one);
  let left: string | null = null;
  for (const one of there(notes)) await removeMarkerLater(one).catch((error) => (left ??= noteLeft(one, error)));
  return left;
}

/** Of an image that was reset: what a start does not write again, and what tells of bytes that are gone. */
export function removeUnwritten({ older }: MarkerPlaces): void {
  for (const one of there(older)) removeMarker(one);
}

/** The image is clean all the same: a note counts where it is not there. */
function noteLeft(note: string, error: unknown): string {
  if (errorCode(error) === '') throw error;
  const text = error instanceof Error ? error.message : String(error);
  return `the note of its path can't be removed: ${text}; it counts where the image is not there, allowed: remove ${note} by hand`;
}

/** A folder that is read-only refuses to remove what it does not have, and one that can't be entered has nothing of ours. */
export function there(paths: readonly string[]): string[] {
  return paths.filter((one) => existsSync(one));
}

/** As `there`, for one. */
export function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Makes the marker of an image that is served vouch for what was flushed ('strict') or not, on the disk when it resolves. Resolves
 * with whether it says so: not if it is gone, or can't be understood, which vouches for nothing.
 *
 * The note of the path first. It may lie on another disk: where that of the image takes nothing more, it alone can tell the next
 * start that there is nothing to be relied on (findMarkers).
 */
export async function changeVouchLater(
  { path, marked, notes }: MarkerPlaces,
  durability: Durability,
): Promise<boolean> {
  const found = await readLater(path);
  if (found === null || found === 'unreadable') return false;
  const bytes = markerBytes({ ...found, durability });
  for (const note of notes.slice(0, 1))
    if (sameServer(await readLater(note), found)) await replaceFileLater(note, bytes);
  if (found.durability === durability) return true;
  await replaceFileLater(path, bytes);
  if (marked !== null) await changeMarkLater(marked, bytes);
  return true;
}

async function readLater(path: string): Promise<MarkerState> {
  try {
    return parseMarker(await readFile(path));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error))) return null;
    throw error;
  }
}

/** Whether both were written by one start of one server. */
function sameServer(a: MarkerState, b: MarkerState): boolean {
  if (a === null || b === null || a === 'unreadable' || b === 'unreadable') return false;
  return a.pid === b.pid && a.started === b.started && a.bootId === b.bootId;
}
