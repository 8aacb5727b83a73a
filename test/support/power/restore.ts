/**
 * Puts a state in the folders that were recorded. A file keeps its inode and time of birth, by which a marker knows its image:
 * it is written where it is, and where its name is lost it waits on a shelf beside the folders. No two files change places.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { writeAttributes } from './attributes.ts';
import { filesIn } from './disk_log.ts';
import type { LostState } from './lost.ts';

const PAGE = 4096;

export interface Room {
  /** The image, which keeps its inode; the other files are markers, and made anew. */
  readonly image: string;
  /** On the same file system. */
  readonly shelf: string;
  readonly folders: readonly string[];
}

/** `marker`: what is to be changed in markers and attributes, such as the boot that they tell of. */
export function restore(room: Room, state: LostState, marker: (text: Buffer) => Buffer = (text) => text): void {
  const hidden = join(room.shelf, basename(room.image));
  if (state.has(room.image) && !existsSync(room.image) && existsSync(hidden)) renameSync(hidden, room.image);
  if (!state.has(room.image) && existsSync(room.image)) renameSync(room.image, hidden);
  for (const path of filesIn(room.folders, false).keys()) if (path !== room.image && !state.has(path)) rmSync(path);
  for (const [path, { size, bytes, marks }] of state) {
    if (path === room.image) writeSparse(path, size, bytes);
    else writeFileSync(path, marker(bytes));
    writeAttributes(path, new Map([...marks].map(([name, value]) => [name, marker(value)])));
  }
}

/** Where it is zeros it is a hole, as in an image that a server has written. */
function writeSparse(path: string, size: number, bytes: Buffer): void {
  // Of a state without its bytes there is nothing to be written.
  if (bytes.length === 0 && size > 0 && statSync(path, { throwIfNoEntry: false })?.size === size) return;
  const fd = openSync(path, 'a+');
  closeSync(fd);
  const file = openSync(path, 'r+');
  try {
    ftruncateSync(file, 0);
    ftruncateSync(file, size);
    const zeros = Buffer.alloc(PAGE);
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      if (!page.equals(zeros.subarray(0, page.length))) writeSync(file, page, 0, page.length, at);
    }
  } finally {
    closeSync(file);
  }
}
