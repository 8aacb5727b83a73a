/**
 * The oracle (`debug.oracle`): a checksum per slot of what was last acknowledged, compared with every page that is read.
 *
 * A page that differs is answered with EIO and counted as `oracle_mismatch`, so that a broken protocol is seen and never
 * silent. Sums live in shared memory, four bytes per slot; 0 stands for "nothing known" (never written since the start, or
 * trimmed). Written and compared under the slot's pin.
 */
import { PAGE_SIZE } from '../pool/limits.ts';
import { PART_SHIFT, PART_WORDS } from '../shm/columns.ts';

/** Is told of each page that a store has put into the pool, and asked about each that is read. */
export type PageOracle = Pick<Oracle, 'note' | 'agrees' | 'forget'>;

export class Oracle {
  /** Per export, a sum per slot, as a wide column. */
  private readonly sums: readonly (readonly Int32Array[])[];
  /** Pages start at any address; here they are looked at as words. */
  private readonly page = new Uint8Array(PAGE_SIZE);
  private readonly words = new Int32Array(this.page.buffer);

  constructor(sums: readonly (readonly Int32Array[])[]) {
    this.sums = sums;
  }

  /** The page at src[at..] is what the slot holds from now on. */
  note(x: number, slot: number, src: Uint8Array, at: number): void {
    this.sums[x][slot >>> PART_SHIFT][slot & (PART_WORDS - 1)] = this.sumOf(src, at);
  }

  forget(x: number, slot: number): void {
    this.sums[x][slot >>> PART_SHIFT][slot & (PART_WORDS - 1)] = 0;
  }

  /** False if the page at dst[at..] is not what was last noted for the slot. */
  agrees(x: number, slot: number, dst: Uint8Array, at: number): boolean {
    const sum = this.sums[x][slot >>> PART_SHIFT][slot & (PART_WORDS - 1)];
    return sum === 0 || sum === this.sumOf(dst, at);
  }

  /** FNV-1a over words; never 0. */
  private sumOf(bytes: Uint8Array, at: number): number {
    this.page.set(bytes.subarray(at, at + PAGE_SIZE));
    let sum = 0x811c9dc5 | 0;
    for (let i = 0; i < PAGE_SIZE / 4; i++) sum = Math.imul(sum ^ this.words[i], 0x01000193);
    return sum === 0 ? 1 : sum;
  }
}
