/**
 * The corpus: pages that a guest has swapped out, one after the other in a file. It is somebody's memory, if only a test guest's, so
 * it is taken by whoever wants to measure, is readable by its owner alone, and stays out of the checkout.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { UsageError } from '../options.ts';
import { PAGE } from './variants.ts';

/** 128 MiB: what a guest of 768 MiB swaps out, and what is stored three times in some seconds. */
export const CORPUS_PAGES_MAX = 2 ** 15;
/** What `--corpus` takes, so that a row ends within the time of a run. */
const CORPUS_BYTES_MAX = 2 ** 29;
const PIECE = 2 ** 20;
const ZEROS = Buffer.alloc(PAGE);

export interface Corpus {
  readonly path: string;
  readonly pages: number;
}

export function openCorpus(path: string): Corpus {
  const stat = attempt(() => statSync(path));
  if (!stat.isFile()) throw new UsageError(`${path}: is no regular file`);
  const { size } = stat;
  if (size === 0 || size % PAGE !== 0 || size > CORPUS_BYTES_MAX) {
    throw new UsageError(`${path}: ${size} bytes, allowed: pages of ${PAGE}, up to ${CORPUS_BYTES_MAX} bytes`);
  }
  return { path, pages: size / PAGE };
}

/** Before a guest is booted for it. */
export function checkTarget(root: string, path: string): void {
  const folder = attempt(() => realpathSync(dirname(path)));
  const place = relative(realpathSync(root), join(folder, basename(path)));
  if (place !== '..' && !place.startsWith('../')) {
    throw new UsageError(`${path}: allowed: outside of the checkout, since it is memory of a guest`);
  }
  if (existsSync(path)) throw new UsageError(`${path}: is there already`);
}

function attempt<T>(look: () => T): T {
  try {
    return look();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/**
 * Writes the pages of a swap image that have data to a new file, at most so many, evenly over the device; returns how many. The
 * first page is the swap header. A page of zeros is a hole, or might be one: the image does not tell.
 */
export function collectPages(image: string, target: string, most: number): number {
  const from = openSync(image, 'r');
  const partial = `${target}.part`;
  try {
    const slots = slotsWithData(from);
    if (slots.length === 0) throw new Error(`${image} has no pages with data`);
    const count = Math.min(most, slots.length);
    const to = openSync(partial, 'wx', 0o600);
    try {
      const page = Buffer.alloc(PAGE);
      for (let i = 0; i < count; i++) {
        readPage(from, page, slots[Math.floor((i * slots.length) / count)]! * PAGE);
        writeSync(to, page);
      }
    } finally {
      closeSync(to);
    }
    renameSync(partial, target);
    return count;
  } finally {
    closeSync(from);
    rmSync(partial, { force: true });
  }
}

function slotsWithData(fd: number): number[] {
  const slots: number[] = [];
  const piece = Buffer.alloc(PIECE);
  const { size } = fstatSync(fd);
  for (let offset = 0; offset < size; offset += PIECE) {
    const bytes = readSync(fd, piece, 0, PIECE, offset);
    for (let at = 0; at + PAGE <= bytes; at += PAGE) {
      if (offset + at > 0 && piece.compare(ZEROS, 0, PAGE, at, at + PAGE) !== 0) slots.push((offset + at) / PAGE);
    }
  }
  return slots;
}

function readPage(fd: number, into: Buffer, offset: number): void {
  if (readSync(fd, into, 0, PAGE, offset) !== PAGE) throw new Error(`the image ends at ${offset}`);
}
