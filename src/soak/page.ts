/**
 * Pages that describe themselves: each sector of 512 bytes says the slot, the version and the sector that it was written for,
 * and has a checksum of all its bytes. So whatever comes back in its place can be named: stale, misdirected, corrupt.
 *
 * A sector: magic, slot, version (two words), content and sector number, seed, sum of the body, checksum of the words before;
 * then 480 bytes of body. A page that is one repeated word has no room for that: the word is a hash of the same things.
 * Body and class follow from seed, slot and version, so the bytes that are expected can be made again at any time.
 */
import { mix, Random } from './random.ts';

export const PAGE = 4096;
export const SECTOR = 512;
export const SECTORS = PAGE / SECTOR;
const SECTOR_WORDS = SECTOR / 4;
const HEADER_WORDS = 8;
const MAGIC = 0x7a736f6b;
/** Ready-made bodies per class; more would not compress otherwise. */
const VARIANTS = 32;

/** As a guest's memory is; the weights are in per cent of the pages. */
const CONTENTS = [
  { name: 'text', weight: 35 },
  { name: 'heap', weight: 20 },
  { name: 'sparse', weight: 15 },
  { name: 'noise', weight: 10 },
  { name: 'filled', weight: 15 },
  { name: 'zero', weight: 5 },
] as const;
type Content = (typeof CONTENTS)[number]['name'];
const ROWS = CONTENTS.flatMap(({ weight }, row) => Array.from({ length: weight }, () => row));
const FILLED = CONTENTS.findIndex(({ name }) => name === 'filled');
const ZERO = CONTENTS.findIndex(({ name }) => name === 'zero');

/**
 * Which write a sector is of: the n-th of its slot, times WRITERS, plus who wrote it. 0 is none: zeros.
 * Invariant: below 2^48, which is beyond what can be written in a life.
 */
export type Version = number;
export const WRITERS = 32;
export const versionOf = (generation: number, writer: number): Version => generation * WRITERS + writer;
export const generationOf = (version: Version): number => Math.floor(version / WRITERS);
export const writerOf = (version: Version): number => version % WRITERS;

/** What 512 bytes say that they are. */
type Told =
  | { readonly is: 'zeros' }
  /** `sound`: the checksum agrees. */
  | {
      readonly is: 'ours';
      readonly sound: boolean;
      readonly seed: number;
      readonly slot: number;
      readonly version: Version;
      readonly sector: number;
    }
  | { readonly is: 'filled'; readonly word: number }
  | { readonly is: 'noise' };

export class Pages {
  readonly seed: number;
  readonly #bodies: readonly (readonly Uint32Array[])[];
  readonly #sums: readonly (readonly number[])[];

  constructor(seed: number) {
    this.seed = seed >>> 0;
    const random = new Random(seed, 0x70616765);
    this.#bodies = CONTENTS.map(({ name }) => Array.from({ length: VARIANTS * SECTORS }, () => body(name, random)));
    this.#sums = this.#bodies.map((list) => list.map((words) => sumOf(words, 0)));
  }

  content(slot: number, version: Version): Content {
    return CONTENTS[this.#row(slot, version)].name;
  }

  /** Writes the sectors from `first` to `end` - 1 of the page that `version` of `slot` is, to `into` at `at` (a multiple of 4). */
  fill(into: Buffer, at: number, slot: number, version: Version, first = 0, end = SECTORS): void {
    const words = new Uint32Array(into.buffer, into.byteOffset + at, (end - first) * SECTOR_WORDS);
    const row = this.#row(slot, version);
    if (version === 0 || row === ZERO) words.fill(0);
    else if (row === FILLED) words.fill(this.filling(slot, version));
    else for (let s = first; s < end; s++) this.#sector(words, (s - first) * SECTOR_WORDS, row, slot, version, s);
  }

  /** The word that a page of one repeated word has. */
  filling(slot: number, version: Version): number {
    return mix(this.seed ^ slot, low(version), high(version)) || 1;
  }

  isFilled(slot: number, version: Version): boolean {
    return this.#row(slot, version) === FILLED;
  }

  /** Whether it is all zeros, as a hole is. */
  isZero(slot: number, version: Version): boolean {
    return version === 0 || this.#row(slot, version) === ZERO;
  }

  #row(slot: number, version: Version): number {
    return ROWS[mix(this.seed, slot, generationOf(version)) % ROWS.length];
  }

  #sector(words: Uint32Array, at: number, row: number, slot: number, version: Version, sector: number): void {
    const index = (mix(this.seed, slot, low(version)) % VARIANTS) * SECTORS + sector;
    words.set(this.#bodies[row][index], at + HEADER_WORDS);
    words[at] = MAGIC;
    words[at + 1] = slot;
    words[at + 2] = low(version);
    words[at + 3] = high(version);
    words[at + 4] = row * SECTORS + sector;
    words[at + 5] = this.seed;
    words[at + 6] = this.#sums[row][index];
    words[at + 7] = sumOf(words.subarray(at, at + 7), 7);
  }
}

/** Reads what a sector says of itself, whoever wrote it. `bytes` are copied, so they may lie anywhere. */
export function tell(bytes: Uint8Array): Told {
  const words = new Uint32Array(Uint8Array.from(bytes).buffer);
  if (words.every((word) => word === words[0])) {
    return words[0] === 0 ? { is: 'zeros' } : { is: 'filled', word: words[0] };
  }
  if (words[0] !== MAGIC) return { is: 'noise' };
  const sound = words[7] === sumOf(words.subarray(0, 7), 7) && words[6] === sumOf(words.subarray(HEADER_WORDS), 0);
  const version = words[3] * 2 ** 32 + words[2];
  return { is: 'ours', sound, seed: words[5], slot: words[1], version, sector: words[4] % SECTORS };
}

const low = (version: Version): number => (version % 2 ** 32) | 0;
const high = (version: Version): number => Math.floor(version / 2 ** 32);

function sumOf(words: Uint32Array, start: number): number {
  let sum = start;
  for (let i = 0; i < words.length; i++) sum = Math.imul(sum ^ words[i], 0x01000193) + i;
  return sum >>> 0;
}

/** Some 3:1, 4:1 and 20:1 by zstd, and not at all. */
function body(content: Content, random: Random): Uint32Array {
  const words = new Uint32Array(SECTOR_WORDS - HEADER_WORDS);
  if (content === 'noise') return words.map(() => random.word());
  if (content === 'text') return words.map(() => 0x20202020 ^ (random.word() & 0x0f1f_0f1f));
  if (content === 'heap') {
    return words.map((_, i) => (i % 2 === 0 ? 0x5555_0000 + random.below(4096) * 16 : random.below(2) * 0x7fff));
  }
  if (content === 'sparse') for (let i = 0; i < 3; i++) words[random.below(words.length)] = random.word();
  return words;
}
