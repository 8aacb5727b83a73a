/**
 * What each slot was last acknowledged to hold, as a checksum (`pool.checksums`), compared with every page that is read, from the
 * pool, on its way to the image, and from the image. So what is flipped, torn, lost, misdirected or stale is EIO, is counted
 * as `checksum_mismatch`, and is never data.
 *
 * Sums live in shared memory, four bytes per slot; 0 stands for "nothing known" (never written since the start, or trimmed).
 * Written and compared under the slot's pin. That of a page is the low word of its XXH64, which zstd has at the end of each
 * object: to note it costs nothing, and to compare it neither, because who decompresses has had zstd verify it.
 */
import type { Codec } from '../pool/codec.ts';
import type { Shared } from '../pool/shared.ts';
import { PART_SHIFT, PART_WORDS } from '../shm/columns.ts';

/** Is told of each page that a store has put into the pool, and asked about each that is read. */
export type PageSums = Pick<Checksums, 'note' | 'agrees' | 'forget'>;

/** Without checksums nothing is known of any page. */
export const NO_SUMS: PageSums = { note: () => undefined, agrees: () => true, forget: () => undefined };

/** What a page of the slot is compared with; 0: nothing is known. */
export function sumOf({ sums }: Pick<Shared, 'sums'>, x: number, slot: number): number {
  return sums === null ? 0 : sums[x][slot >>> PART_SHIFT][slot & (PART_WORDS - 1)];
}

export function isKnown(shared: Pick<Shared, 'sums'>, x: number, slot: number): boolean {
  return sumOf(shared, x, slot) !== 0;
}

export class Checksums {
  /** Per export, a sum per slot, as a wide column. */
  private readonly sums: readonly (readonly Int32Array[])[];
  private readonly codec: Codec;

  constructor(sums: readonly (readonly Int32Array[])[], codec: Codec) {
    this.sums = sums;
    this.codec = codec;
  }

  /** `sum`: of what the slot holds from now on, as the codec has it. */
  note(x: number, slot: number, sum: number): void {
    this.sums[x][slot >>> PART_SHIFT][slot & (PART_WORDS - 1)] = sum;
  }

  forget(x: number, slot: number): void {
    this.note(x, slot, 0);
  }

  /** False if the page at dst[at..] is not what was last noted for the slot. `known`: its sum, where somebody has verified it; or 0. */
  agrees(x: number, slot: number, dst: Uint8Array, at: number, known = 0): boolean {
    const sum = this.sums[x][slot >>> PART_SHIFT][slot & (PART_WORDS - 1)];
    return sum === 0 || sum === known || this.codec.hasSum(dst, at, sum);
  }
}
