/**
 * Where the marker of an image lies: beside its file; for a block device in a folder of ours, because its node is no place for
 * files. Where the file system keeps extended attributes, the file itself is marked as well, so that it says that it is stale
 * when it was moved, copied with its attributes, or is reached past its marker. And the path that the config has for it is noted
 * in that folder, because all these are out of sight where its file system is not mounted, or its device not there.
 *
 * Invariants: the marker is what counts; a file system without attributes takes nothing from it. Of several the weakest is
 * believed, because each was left by a server that did not stop cleanly. An image is clean when all are gone, and the mark goes
 * first: whatever is left by a crash in between says too much, not too little. A note counts only where the image is not there
 * (same_image.ts), so one that is left over is no harm, and neither is one that can't be written.
 */
import { existsSync, fsync, fsyncSync } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { EACCES, EDQUOT, ENODATA, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, errnoName } from '../os/errno.ts';
import { changeAttribute, getAttribute, removeAttribute, setAttribute } from '../os/syscalls.ts';
import { systemCode } from './error.ts';
import type { LockedImage } from './lock.ts';
import {
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
  removeMarker,
  removeMarkerLater,
  writeMarker,
} from './marker.ts';

export interface MarkerPlaces {
  /** Where it is written. */
  readonly path: string;
  /** Where a start with other settings, or an earlier version, may have left one. */
  readonly older: readonly string[];
  /** The descriptor of the file that is marked too; null where there is none. */
  readonly marked: number | null;
  /** Where the configured path is noted, the one to write to first; empty for an image that lies in that folder itself. */
  readonly notes: readonly string[];
}

const ATTRIBUTE = 'user.zswapd';
/** A marker has 300 bytes; more than this is none of ours, and unreadable. */
const MAX_MARK = 4096;
/** No attributes here, no right to them, or no room for them. */
const NO_MARKS: ReadonlySet<number> = new Set([EOPNOTSUPP, ENOSYS, EPERM, EACCES, ENOSPC, EDQUOT]);

/** `folders`: of ours, the one to write to first. `configured`: the absolute path that the operator wrote. */
export function markerPlaces(
  image: Pick<LockedImage, 'blockDevice' | 'identity' | 'file'>,
  folders: readonly string[],
  configured: string,
): MarkerPlaces {
  const notes = notePlaces(configured, folders);
  const inFolders = image.blockDevice ? folders.map((folder) => markerOfDevice(image.identity, folder)) : [];
  if (image.file === null) return { path: inFolders[0], older: inFolders.slice(1), marked: null, notes };
  const marked = image.file.fd < 0 ? null : image.file.fd;
  return { path: markerBeside(image.file.path), older: inFolders, marked, notes };
}

export function notePlaces(configured: string, folders: readonly string[]): string[] {
  // There, the note would go with the image.
  if (dirname(configured) === folders[0]) return [];
  return folders.map((folder) => noteOfPath(configured, folder));
}

/** `bytes` and `mark` are those of where a marker is written; `state` is the weakest of all. */
export function findMarkers(places: MarkerPlaces): FoundMarker {
  const own = findMarker(places.path);
  const mark = readMark(places.marked);
  const states = [own.state, ...places.older.map((path) => findMarker(path).state), mark.state];
  const left = states.filter((state) => state !== null);
  const state = left.find((one) => !isStrict(one)) ?? left[0] ?? null;
  return { state, bytes: own.bytes, mark: mark.bytes, note: findNote(places.notes) };
}

/** `bytes` are those of where a note is written. A folder that can't be entered has none of ours. */
function findNote(notes: readonly string[]): FoundMarker['note'] {
  const found = there(notes).map(findMarker);
  const written = there(notes.slice(0, 1)).length > 0 ? found[0].bytes : null;
  return { state: found.find(({ state }) => state !== null)?.state ?? null, bytes: written };
}

/** The places that say so of an unclean stop. */
export function whereMarked({ path, older, notes }: MarkerPlaces): string[] {
  return [path, ...older, ...notes].filter((one) => existsSync(one));
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
    if (systemCode(error) === '') throw error;
    return error as Error;
  }
}

/** Leaves the places as they were found. `older` ones are not written by a start. */
export function putBackMarkers({ path, older, marked, notes }: MarkerPlaces, found: FoundMarker): void {
  if (marked !== null && found.mark !== null) setMark(marked, found.mark);
  else if (marked !== null) removeMark(marked);
  // Found in another place, it says all that it did before; here nothing was.
  putBackMarker(path, found.bytes === null && found.state !== 'unreadable' ? NO_MARKER : found);
  if (found.state === null) for (const one of older) removeMarker(one);
  for (const one of there(notes.slice(0, 1))) putBackMarker(one, found.note.bytes === null ? NO_MARKER : found.note);
}

/** The content of the image has to be on the disk by now. */
export function removeMarkers({ path, older, marked, notes }: MarkerPlaces): void {
  if (marked !== null) removeMark(marked);
  for (const one of [path, ...older, ...there(notes)]) removeMarker(one);
}

/** As removeMarkers, without holding the thread while the file system does. */
export async function removeMarkersLater({ path, older, marked, notes }: MarkerPlaces): Promise<void> {
  if (marked !== null) await changeMarkLater(marked, null);
  for (const one of [path, ...older]) await removeMarkerLater(one);
  for (const one of there(notes)) await removeMarkerLater(one);
}

/** A folder that is read-only refuses to remove what it does not have. */
export function there(notes: readonly string[]): string[] {
  return notes.filter((one) => existsSync(one));
}

/**
 * After a drain to an image that was changed by others: whether its marker is still there. Nobody may vouch any more for what
 * was flushed, so one of a strict server becomes that of a volatile one.
 */
export async function distrustMarkerLater({ path, marked }: MarkerPlaces): Promise<boolean> {
  let found: MarkerState;
  try {
    found = parseMarker(await readFile(path));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error))) return false;
    throw error;
  }
  if (found === 'unreadable' || !isStrict(found)) return true;
  const bytes = markerBytes({ ...found, durability: 'volatile' });
  const temporary = await open(`${path}.tmp`, 'w', 0o600);
  try {
    await temporary.writeFile(bytes);
    await temporary.sync();
  } finally {
    await temporary.close();
  }
  await rename(`${path}.tmp`, path);
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
  if (marked !== null) await changeMarkLater(marked, bytes);
  return true;
}

function readMark(fd: number | null): { state: MarkerState; bytes: Buffer | null } {
  if (fd === null) return { state: null, bytes: null };
  const into = Buffer.alloc(MAX_MARK);
  const found = getAttribute(fd, ATTRIBUTE, into);
  if (found >= 0) {
    const bytes = into.subarray(0, found);
    return { state: parseMarker(bytes), bytes };
  }
  if (found === -ENODATA || NO_MARKS.has(-found)) return { state: null, bytes: null };
  return { state: 'unreadable', bytes: null };
}

function setMark(fd: number, bytes: Uint8Array): void {
  if (changed(setAttribute(fd, ATTRIBUTE, bytes))) fsyncSync(fd);
}

function removeMark(fd: number): void {
  if (changed(removeAttribute(fd, ATTRIBUTE))) fsyncSync(fd);
}

async function changeMarkLater(fd: number, bytes: Uint8Array | null): Promise<void> {
  const code = await new Promise<number>((done) => changeAttribute(fd, ATTRIBUTE, bytes, done));
  if (changed(code)) await promisify(fsync)(fd);
}

/** Whether the mark of a file is another now; throws what is no lack of attributes. */
function changed(code: number): boolean {
  if (code >= 0) return true;
  if (code === -ENODATA || NO_MARKS.has(-code)) return false;
  throw new Error(`can't mark the file itself (${errnoName(code)})`);
}
