/**
 * Marks: markers as extended attributes of the file that they tell of, so that it says that it is stale when it was moved,
 * copied with its attributes, or is reached past its marker. A file system without attributes takes nothing from the marker.
 */
import { fsync, fsyncSync } from 'node:fs';
import { promisify } from 'node:util';
import { EACCES, EDQUOT, ENODATA, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, ERANGE, errnoName } from '../os/errno.ts';
import { changeAttribute, getAttribute, getAttributeLater, removeAttribute, setAttribute } from '../os/syscalls.ts';
import { ImageError } from './error.ts';
import { type MarkerState, parseMarker } from './marker.ts';

/** An attribute of an open file. */
export interface Mark {
  readonly fd: number;
  readonly name: string;
}

export const ATTRIBUTE = 'user.zswapd';
/** A marker has 300 bytes; more than this is none of ours, and unreadable. */
const MAX_MARK = 4096;
/** There is no such attribute, or there are none here: nothing is left to take away. */
const NO_MARK: ReadonlySet<number> = new Set([ENODATA, EOPNOTSUPP, ENOSYS]);
/** No right to attributes, or no room for them: a file goes without, but one that it has stays. */
const REFUSED: ReadonlySet<number> = new Set([EPERM, EACCES, ENOSPC, EDQUOT]);
/** Marks that could not be looked at by who asked first, as where a sandbox keeps attributes away: they count as none for good. */
const outOfReach = new WeakSet<Mark>();

/** A mark that can't be made what it should be. */
export class MarkError extends Error {
  override readonly name = 'MarkError';
  readonly mark: Mark;

  constructor(mark: Mark, wanted: Uint8Array | null, code: number) {
    super(
      `the attribute ${mark.name} of the file can't be ${wanted === null ? 'removed' : 'set'} (${errnoName(code)})`,
    );
    this.mark = mark;
  }
}

export function readMark(mark: Mark): { state: MarkerState; bytes: Buffer | null } {
  const { fd, name } = mark;
  const into = Buffer.alloc(MAX_MARK);
  const found = getAttribute(fd, name, into);
  if (found >= 0) {
    const bytes = into.subarray(0, found);
    return { state: parseMarker(bytes), bytes };
  }
  if (REFUSED.has(-found)) outOfReach.add(mark);
  if (NO_MARK.has(-found) || REFUSED.has(-found)) return { state: null, bytes: null };
  if (found === -ERANGE) return { state: 'unreadable', bytes: null };
  const text = `its attribute ${name} can't be read (${errnoName(-found)}), so nothing tells whether it is stale`;
  throw new ImageError('marker', `${text}, allowed: an image whose attributes can be read`);
}

export function setMark(mark: Mark, bytes: Uint8Array): void {
  settle(mark, bytes, setAttribute(mark.fd, mark.name, bytes));
}

export function removeMark(mark: Mark): void {
  settle(mark, null, removeAttribute(mark.fd, mark.name));
}

function settle(mark: Mark, wanted: Uint8Array | null, code: number): void {
  if (isChanged(mark, wanted, code)) fsyncSync(mark.fd);
  else if (REFUSED.has(-code)) {
    const into = Buffer.alloc(MAX_MARK);
    checkLeft(mark, wanted, code, { found: getAttribute(mark.fd, mark.name, into), into });
  }
}

/** null: removed. Does not hold the thread while the file system works. */
export async function changeMarkLater(mark: Mark, wanted: Uint8Array | null): Promise<void> {
  const { fd, name } = mark;
  const code = await new Promise<number>((done) => changeAttribute(fd, name, wanted, done));
  if (isChanged(mark, wanted, code)) await promisify(fsync)(fd);
  else if (REFUSED.has(-code)) {
    const into = Buffer.alloc(MAX_MARK);
    const found = await new Promise<number>((done) => getAttributeLater(fd, name, into, done));
    checkLeft(mark, wanted, code, { found, into });
  }
}

/** Whether a mark is another now; throws what is no lack of attributes, nor of the right to them. */
function isChanged(mark: Mark, wanted: Uint8Array | null, code: number): boolean {
  if (code >= 0) outOfReach.delete(mark);
  else if (!NO_MARK.has(-code) && !REFUSED.has(-code)) throw new MarkError(mark, wanted, code);
  return code >= 0;
}

/**
 * After a change was refused: what was found there since, or could not be asked for, must not pass for what was wanted. The rights
 * to a file may change while it is served, and then its mark is as much there as before.
 */
function checkLeft(
  mark: Mark,
  wanted: Uint8Array | null,
  code: number,
  { found, into }: { found: number; into: Buffer },
): void {
  if (NO_MARK.has(-found) || (REFUSED.has(-found) && outOfReach.has(mark))) return;
  if (wanted !== null && found >= 0 && into.subarray(0, found).equals(wanted)) return;
  throw new MarkError(mark, wanted, code);
}
