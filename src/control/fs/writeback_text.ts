/**
 * What may be written to /block/<export>/writeback, as zram takes it: one type (idle, huge, huge_idle, incompressible), with
 * type= before it or without, or any number of page_index=N and page_indexes=FIRST-LAST. zram also takes a type behind pages,
 * and then whatever comes after the type without a look; that is refused here.
 */
import { FsError } from './errors.ts';
import { invalid } from './notations.ts';

export interface WritebackText {
  readonly huge: boolean;
  readonly idle: boolean;
  /** Slots [first, end), in their order, and none that meets another; null: all. */
  readonly slots: readonly (readonly [first: number, end: number])[] | null;
}

/** What does not compress is stored raw, which zram calls huge; there is no second compressor that could have tried. */
const TYPES: Readonly<Record<string, WritebackText>> = {
  idle: { huge: false, idle: true, slots: null },
  huge: { huge: true, idle: false, slots: null },
  huge_idle: { huge: true, idle: true, slots: null },
  incompressible: { huge: true, idle: false, slots: null },
};
const ALLOWED =
  'idle, huge, huge_idle or incompressible, also as type=idle, or page_index=N and page_indexes=FIRST-LAST, several of them';

/** `pages`: of the export. */
export function parseWriteback(text: string, pages: number): WritebackText {
  const words = text.trim().split(/\s+/);
  if (words.length === 1) {
    const name = words[0].startsWith('type=') ? words[0].slice('type='.length) : words[0];
    if (Object.hasOwn(TYPES, name)) return TYPES[name];
  }
  return { huge: false, idle: false, slots: united(words.map((word) => parsePages(text, word, pages))) };
}

function parsePages(text: string, word: string, pages: number): readonly [number, number] {
  // Decimal alone, as in zram.
  const match = /^(?:page_index=(\d+)|page_indexes=(\d+)-(\d+))$/.exec(word);
  if (match === null) throw invalid(text, ALLOWED);
  const first = Number(match[1] ?? match[2]);
  const last = Number(match[1] ?? match[3]);
  if (first > last || last >= pages)
    throw new FsError('ERANGE', `${word.slice(0, 60)} is not valid, allowed: pages from 0 to ${pages - 1}`);
  return [first, last + 1];
}

function united(ranges: (readonly [number, number])[]): (readonly [number, number])[] {
  const slots: [number, number][] = [];
  for (const [first, end] of ranges.sort(([a], [b]) => a - b)) {
    const last = slots.at(-1);
    if (last !== undefined && first <= last[1]) last[1] = Math.max(last[1], end);
    else slots.push([first, end]);
  }
  return slots;
}
