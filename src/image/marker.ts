/**
 * The marker beside an image: there while a server uses it, gone after a clean stop. What is found at start tells that
 * the last server did not stop cleanly.
 *
 * Invariants: the marker is on the disk, file and folder, before writeMarker returns, and gone from it when removeMarker
 * does. It is replaced by rename, so it is never half written; if it can't be understood all the same, it counts as that
 * of a volatile server. One that can't be read says nothing, and then there is no start. One that replaces another vouches for no more than that did: an image that is stale and served all
 * the same stays stale, whatever the server on top of it flushes, until a clean stop.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync, unlinkSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode } from '../os/exit_error.ts';
import { MARKER_SUFFIX } from '../os/marker_path.ts';
import { startTicks } from '../os/proc_stat.ts';
import { ImageError } from './error.ts';
import { syncFolder, syncFolderLater } from './io.ts';
import { MARKER_MAX, replaceFile } from './marker_file.ts';

export type Durability = 'volatile' | 'strict';

export interface MarkerInfo {
  /** Of the image: dev:ino of the file with its bytes, or the first name of a device; same_image.ts compares it. */
  identity: string;
  /** When that file was made, or the sequence number of a device; not there where nobody keeps it, and in markers of earlier versions. */
  born?: string;
  /**
   * What the next start may rely on: the weakest of the servers since the image was clean. A strict server flushes its own
   * pages, but those that the image lacked before stay as they are.
   */
  durability: Durability;
  /** null where the kernel did not tell: it is equal to none, and tells of no other boot either. */
  bootId: string | null;
  pid: number;
  /** When its process began, in ticks since the system did; not there in markers of earlier versions. */
  ticks?: number;
  /** ISO 8601. */
  started: string;
  /** Size of the export, the largest since the image was clean: what a reset of a larger block device has to discard. */
  bytes?: number;
}

export type MarkerState = MarkerInfo | null | 'unreadable';

/** A marker as it was found, to be put back by a start that fails. */
export interface FoundMarker {
  readonly state: MarkerState;
  /** null where there is none, or none that can be read. */
  readonly bytes: Buffer | null;
  /** The mark on the file itself (places.ts), likewise. */
  readonly mark: Buffer | null;
  /** What is noted of the configured path (places.ts), likewise. */
  readonly note: { readonly state: MarkerState; readonly bytes: Buffer | null };
}

export const NO_MARKER: FoundMarker = { state: null, bytes: null, mark: null, note: { state: null, bytes: null } };

/** File names have at most 255 bytes; a longer identity is replaced by its digest. */
const MAX_NAME = 200;

/** `path` has to be without links. */
export function markerBeside(path: string): string {
  return `${path}${MARKER_SUFFIX}`;
}

/** Of a block device, whose node is no place for a file beside it. */
export function markerOfDevice(identity: string, folder: string): string {
  const name = encodeURIComponent(identity);
  const short = name.length <= MAX_NAME ? name : createHash('sha256').update(name).digest('hex');
  return join(folder, `${short}${MARKER_SUFFIX}`);
}

/** Of an image, by the path that the config has for it. No identity of a device begins so. */
export function noteOfPath(path: string, folder: string): string {
  return markerOfDevice(`image ${path}`, folder);
}

/** The marker of this process, on an image that is served with what `before` tells of it. */
export function newMarker(
  image: {
    identity: string;
    names?: readonly string[];
    sequence?: string | null;
    bytes: number;
    file?: { identity: string; born: string | null } | null;
  },
  durability: Durability,
  before: MarkerState = null,
): MarkerInfo {
  const bytesBefore = before === null || before === 'unreadable' ? 0 : (before.bytes ?? 0);
  const born = image.file?.born ?? image.sequence ?? null;
  const ticks = startTicks(process.pid);
  return {
    identity: image.file?.identity ?? image.names?.[0] ?? image.identity,
    ...(born === null ? {} : { born }),
    durability: before === null || isStrict(before) ? durability : 'volatile',
    bootId: bootId(),
    pid: process.pid,
    ...(ticks === null ? {} : { ticks }),
    started: new Date().toISOString(),
    bytes: Math.max(image.bytes, bytesBefore),
  };
}

/** Whether what was flushed before is all in the image. */
export function isStrict(marker: MarkerState): boolean {
  return marker !== null && marker !== 'unreadable' && marker.durability === 'strict';
}

/** What a strict marker says of bytes that it does not vouch for: those of another file. */
export function distrusted(marker: MarkerState): MarkerState {
  return marker === null || marker === 'unreadable' ? marker : { ...marker, durability: 'volatile' };
}

/** Of this boot; null where it can't be read, as in a service with ProcSubset=pid. */
export function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch (error) {
    if (errorCode(error) === '') throw error;
    return null;
  }
}

export function readMarker(path: string): MarkerState {
  return findMarker(path).state;
}

/**
 * Throws ImageError where what is there can't be looked at: that tells neither that an image is stale nor that it is clean, so
 * it must not be served, and nothing of it be discarded.
 */
export function findMarker(path: string): FoundMarker {
  const allowed = 'so nothing tells whether its image is stale, allowed: a marker that this process can read, or none';
  try {
    // Asked before opening, because a FIFO would wait for somebody who writes.
    const found = statSync(path);
    if (!found.isFile()) throw new ImageError('marker', `${path}: is no file, ${allowed}`);
    if (found.size > MARKER_MAX)
      throw new ImageError('marker', `${path}: is no marker, but a file of ${found.size} bytes, ${allowed}`);
    const bytes = readFileSync(path);
    return { ...NO_MARKER, state: parseMarker(bytes), bytes };
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return NO_MARKER;
    if (code === '') throw error;
    throw new ImageError('marker', `${path}: can't be read (${code}), ${allowed}`, { cause: error });
  }
}

export function parseMarker(text: Buffer): MarkerInfo | 'unreadable' {
  let value: Partial<Record<keyof MarkerInfo, unknown>> | null;
  try {
    value = JSON.parse(text.toString());
  } catch {
    // Not JSON: the caller treats it as the worst case.
    return 'unreadable';
  }
  if (typeof value !== 'object' || value === null) return 'unreadable';
  const { identity, durability, bootId, pid, started, bytes, born, ticks } = value;
  if (typeof identity !== 'string' || typeof started !== 'string') return 'unreadable';
  if (typeof bootId !== 'string' && bootId !== null) return 'unreadable';
  if (typeof pid !== 'number' || (durability !== 'volatile' && durability !== 'strict')) return 'unreadable';
  const info: MarkerInfo = { identity, durability, bootId, pid, started };
  if (born !== undefined && typeof born !== 'string') return 'unreadable';
  if (born !== undefined) info.born = born;
  if (ticks !== undefined && typeof ticks !== 'number') return 'unreadable';
  if (ticks !== undefined) info.ticks = ticks;
  if (bytes === undefined) return info;
  return typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes > 0 ? { ...info, bytes } : 'unreadable';
}

export function markerBytes(info: MarkerInfo): Buffer {
  return Buffer.from(`${JSON.stringify(info)}\n`);
}

export function writeMarker(path: string, info: MarkerInfo): void {
  replaceFile(path, markerBytes(info));
}

/** Leaves the marker as it was found. One that could not be read can't be had again: what is there now says as little. */
export function putBackMarker(path: string, found: Pick<FoundMarker, 'state' | 'bytes'>): void {
  if (found.state === null) removeMarker(path);
  else if (found.bytes !== null && findMarker(path).bytes?.equals(found.bytes) !== true) replaceFile(path, found.bytes);
}

/** As removeMarker, without holding the thread while the file system does. */
export async function removeMarkerLater(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  await syncFolderLater(dirname(path));
}

/** The content of the image has to be on the disk by now. A marker that is gone already is no error. */
export function removeMarker(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  syncFolder(dirname(path));
}
