/**
 * Images that are parts of a file: what a loop device with an offset or a limit shows, and its partitions. The same bytes can
 * be reached as the file, or as another part; so the marker of a part lies where that of the file does, beside it and as an
 * attribute of it, under the range that it is.
 *
 * Invariants: while a part is stale, neither the file nor a part that meets it is an image, and none while the file is; because
 * who clears a marker has to have made all of its bytes whole, and who discards bytes must not discard others with them.
 */
import { fstatSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errorCode } from '../os/exit_error.ts';
import { markerEnding } from '../os/marker_path.ts';
import { shellWord } from '../os/shell.ts';
import { listAttributes } from '../os/syscalls.ts';
import { ImageError } from './error.ts';
import { refuseServed } from './living.ts';
import { type MarkerState, markerBeside, readMarker, removeMarker } from './marker.ts';
import { ATTRIBUTE, readMark, removeMark } from './marks.ts';
import { lastServer } from './unclean.ts';

/** Bytes [start, end) of an open file. */
export interface FilePart {
  /** Of the file, without links. */
  readonly path: string;
  readonly fd: number;
  readonly start: number;
  readonly end: number;
}

/** An image: what it is of a file, if anything. */
interface Meant {
  readonly path: string;
  readonly file: Pick<FilePart, 'path' | 'fd'> | null;
  readonly part: FilePart | null;
  /** It is stale itself: then a reset of a whole file makes its parts whole too. */
  readonly stale: boolean;
}

/** A marker, or an attribute, of the file or of a part of it. */
interface FoundMark {
  /** As it is told to an operator. */
  readonly where: string;
  readonly start: number;
  /** Infinite: the file. */
  readonly end: number;
  readonly read: () => MarkerState;
  readonly remove: () => void;
}

const RANGE = '([0-9]{1,16})-([0-9]{1,16})';
const NAME_OF_PART = new RegExp(`^(.*)\\.part-${RANGE}$`, 's');
const ATTRIBUTE_OF_PART = new RegExp(`^${ATTRIBUTE}\\.${RANGE}$`);

export function markerOfPart({ path, start, end }: FilePart): string {
  return markerBeside(`${path}.part-${start}-${end}`);
}

export function attributeOfPart({ start, end }: FilePart): string {
  return `${ATTRIBUTE}.${start}-${end}`;
}

/** Throws ImageError for a file whose name is that of a marker of another one, or whose marker would be that of a part of it. */
export function refuseNameOfMarker(path: string): void {
  const end = markerEnding(path);
  if (end !== undefined)
    throw new ImageError('type', `${path}: its name ends as that of a marker does (${end}), allowed: another name`);
  const [, file] = NAME_OF_PART.exec(basename(path)) ?? [];
  if (file === undefined) return;
  const text = `${path}: its marker would lie where that of a part of ${file} does, allowed: another name`;
  throw new ImageError('type', text);
}

/** Throws ImageError where bytes of an image are stale as another image, which alone can clear that. `resetLine`: for a shell. */
export function refuseStaleOther({ path, file, part, stale }: Meant, resetLine: (path: string) => string): void {
  const behind = part ?? file;
  if (behind === null) return;
  const marks = part !== null ? marksOver(part) : marksOfParts(behind.path, behind.fd);
  for (const mark of marks) {
    const state = mark.read();
    if (state === null) continue;
    refuseServed(path, state);
    throw staleOther(path, { ...behind, stale: stale && part === null }, mark, state, resetLine);
  }
}

/** Of a file whose bytes are all whole: nothing is stale of its parts. */
export function forgetParts({ path, fd }: Pick<FilePart, 'path' | 'fd'>): void {
  for (const { remove } of marksOfParts(path, fd)) remove();
}

/** Markers of parts that lie beside a path, and tell of bytes of a file that is not there any more. */
export function markersOfParts(path: string): string[] {
  return marksBeside(path)
    .filter(({ read }) => read() !== null)
    .map(({ where }) => where);
}

function staleOther(
  path: string,
  { path: whole, fd, stale }: Pick<FilePart, 'path' | 'fd'> & Pick<Meant, 'stale'>,
  { start, end, where }: FoundMark,
  state: MarkerState,
  resetLine: (path: string) => string,
): ImageError {
  const why = `${where} tells that ${lastServer(state)} did not stop cleanly`;
  if (end === Number.POSITIVE_INFINITY) {
    const allowed = `what that server had, or this part after \`${resetLine(whole)}\`, which discards the content of the whole file`;
    return new ImageError('stale', `${path}: is a part of ${whole}, and ${why}; allowed: ${allowed}`);
  }
  const part = `what that server had, or this image after a reset of that part alone`;
  const device = `losetup -f --show -o ${start} --sizelimit ${end - start} ${shellWord(whole)}`;
  // A device over less of the file would be another part.
  const long = fd >= 0 && fstatSync(fd).size < end ? `\`truncate -s ${end} ${shellWord(whole)}\`, then ` : '';
  const allowed = stale
    ? `what that server had, or this image after \`${resetLine(whole)}\`, which discards the content of the whole file`
    : fd < 0
      ? `the file, put back, or a new one after \`${resetLine(whole)}\`, which forgets what it was`
      : `${part}: ${long}\`${device}\`, then \`${resetLine('DEVICE')}\``;
  return new ImageError(
    'stale',
    `${path}: bytes ${start} to ${end} of ${whole} are stale: ${why}; allowed: ${allowed}`,
  );
}

/** What tells of bytes that a part has in common with the file or with another part. */
function marksOver(part: FilePart): FoundMark[] {
  const { path, fd } = part;
  const whole = { start: 0, end: Number.POSITIVE_INFINITY };
  const marker = markerBeside(path);
  return [
    { ...whole, where: marker, read: () => readMarker(marker), remove: () => removeMarker(marker) },
    attributeMark(fd, ATTRIBUTE, whole),
    ...marksOfParts(path, fd),
  ].filter(({ start, end }) => start < part.end && part.start < end && !(start === part.start && end === part.end));
}

/** `fd` is negative for a file that is not there: then what lies beside it is all. */
function marksOfParts(path: string, fd: number): FoundMark[] {
  const attributes = fd < 0 ? [] : listAttributes(fd).filter((name) => ATTRIBUTE_OF_PART.test(name));
  return [...marksBeside(path), ...attributes.map((name) => attributeMark(fd, name, rangeOf(name)))];
}

function rangeOf(attribute: string): Pick<FoundMark, 'start' | 'end'> {
  const [, start, end] = ATTRIBUTE_OF_PART.exec(attribute) ?? [];
  return { start: Number(start), end: Number(end) };
}

function attributeMark(fd: number, name: string, range: Pick<FoundMark, 'start' | 'end'>): FoundMark {
  const mark = { fd, name };
  const where = `the attribute ${name} of it`;
  return { ...range, where, read: () => readMark(mark).state, remove: () => removeMark(mark) };
}

function marksBeside(path: string): FoundMark[] {
  const folder = dirname(path);
  const suffix = markerBeside('');
  const marks: FoundMark[] = [];
  for (const name of namesIn(folder)) {
    if (!name.endsWith(suffix)) continue;
    const [, file, start, end] = NAME_OF_PART.exec(name.slice(0, -suffix.length)) ?? [];
    if (file !== basename(path)) continue;
    const marker = join(folder, name);
    marks.push({
      where: marker,
      start: Number(start),
      end: Number(end),
      read: () => readMarker(marker),
      remove: () => removeMarker(marker),
    });
  }
  return marks;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    // One that is not there has nothing beside; in one that may be entered and not listed, the attributes are what tells.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error))) return [];
    throw error;
  }
}
