// Random numbers that a seed reproduces. A run draws everything from one seed; each part has a stream of its own, so that one
// which draws more than before does not move the others.

/** A word of 32 bits from three: neighbouring inputs give unlike outputs (the finaliser of MurmurHash3). */
export function mix(a: number, b: number, c: number): number {
  let x = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77) ^ Math.imul(c, 0xc2b2ae3d);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** xorshift32: good enough to pick operations, and the same on every machine. */
export class Xorshift {
  #state: number;

  /** `state`: 32 bits, of which some have to be set; 0 is taken for 1. */
  constructor(state: number) {
    this.#state = state >>> 0 || 1;
  }

  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** An integer from 0 to `end` - 1. */
  below(end: number): number {
    return this.word() % end;
  }

  chance(probability: number): boolean {
    return this.word() / 2 ** 32 < probability;
  }
}

export class Random extends Xorshift {
  constructor(seed: number, stream: number) {
    super(mix(seed, stream, 1));
  }

  /** One of the rows, as often as its weight says. */
  weighted<T extends { readonly weight: number }>(rows: readonly T[]): T {
    let at = this.below(rows.reduce((sum, { weight }) => sum + weight, 0));
    for (const row of rows) {
      if (at < row.weight) return row;
      at -= row.weight;
    }
    return rows[0];
  }
}
