/**
 * Whether an image is the one that its marker tells of. A strict marker vouches for what was flushed, and that is in one file
 * only: not in a copy, not in one that was made in its place.
 */
import { statfsSync } from 'node:fs';
import type { LockedImage } from './lock.ts';
import { lastsABoot } from './loop_names.ts';
import { bootId, type FoundMarker, isStrict, type MarkerInfo, type MarkerState } from './marker.ts';

/** FUSE (statfs(2)): its inode numbers need not last from one mount to the next, so nothing there tells one file from another. */
const FUSE = 0x65735546;

/** What files are told apart by; that of a block device has names in it. */
const FILE_IDENTITY = /^\d+:\d+$/;

type Known = Pick<LockedImage, 'identity' | 'names' | 'sequence' | 'file'>;

/** A block device that is no loop device: what lies on it is somebody else's if another device has its name by now. */
export function isNamedOnly({ blockDevice, file, part }: Pick<LockedImage, 'blockDevice' | 'file' | 'part'>): boolean {
  return blockDevice && file === null && part === null;
}

/**
 * Whether a marker, or what is noted of a path, tells of this image. The marker of a block device is found by its identity; what
 * the path leads to may be another device. One that is known by no more than its name, and has another name now, may be the
 * same: then it is stale, and without the marker that says so. A marker that can't be read tells of no image.
 */
export function isMarked(marker: MarkerState, image: Known): boolean {
  const { file } = image;
  if (marker === null || marker === 'unreadable') return true;
  if (file === null) return isNamed(marker, image);
  // As earlier versions wrote it of a loop device.
  if (marker.identity === image.identity) return sameBirth(marker.born, file.born);
  if (!FILE_IDENTITY.test(marker.identity)) return false;
  if (statfsSync(file.path).type === FUSE) return true;
  const [device, inode] = marker.identity.split(':');
  const [deviceNow, inodeNow] = file.identity.split(':');
  if (inode !== inodeNow || !sameBirth(marker.born, file.born)) return false;
  if (marker.born !== undefined && file.born !== null) return true;
  return device === deviceNow || isOfAnotherBoot(marker.bootId);
}

/** What a boot has handed out anew is no reason to vouch for anything; stale it is all the same. */
function isNamed(marker: MarkerInfo, { names, sequence }: Known): boolean {
  if (!names.includes(marker.identity)) return false;
  // Within a boot the kernel counts its disks, and a name that it gives again is another one's.
  const ofThisBoot = !lastsABoot(marker.identity) && !isOfAnotherBoot(marker.bootId);
  if (ofThisBoot && !sameBirth(marker.born, sequence)) return false;
  return !isStrict(marker) || lastsABoot(marker.identity) || !isOfAnotherBoot(marker.bootId);
}

/** A boot hands device numbers out anew. One that is not known, then or now, is no excuse for another number. */
function isOfAnotherBoot(then: string | null): boolean {
  const now = bootId();
  return then !== null && now !== null && then !== now;
}

/**
 * What the note of a path says of it; null where the image is there, or its own marker says more. Something else may be in its
 * place: what lies below a mount that is missing.
 */
export function notedGone(
  { state, note }: Pick<FoundMarker, 'state' | 'note'>,
  image: Known,
  there: 'missing' | 'empty' | 'bytes',
): MarkerState {
  if (state !== null || (there === 'bytes' && isMarked(note.state, image))) return null;
  return note.state;
}

/** Inode numbers are used again; the time of birth tells two owners of one apart. */
function sameBirth(then: string | undefined, now: string | null): boolean {
  return then === undefined || now === null || then === now;
}
